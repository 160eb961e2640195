"""``haidang-alerts preview``: sample mails made of an inventory's real names, as text, HTML or whole messages."""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from alerts.cli import samples
from alerts.incident.entities import NoticeKind
from alerts.language.catalogue import LANGUAGES
from alerts.mail import MailContext, RenderedMail, render
from alerts.mail.signed_urls import LinkSigner
from inventory.assembly.load import load
from inventory.base import files
from inventory.base.types import Text
from inventory.model.entities import Contact, Inventory
from inventory.yaml.whereabouts import CONFIG, inventory_directory

SAMPLE_BASE_URL: Final = "https://haidang.example"
_KEY: Final = b"samples are not signed for anything"  # whoever follows a sample's link is told that it is not good
_NOBODY: Final = Contact(id="nobody", name=Text("Người nhận mẫu", "Sample reader"), email="reader@haidang.example")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dir", nargs="?", type=Path, metavar="INVENTORY_DIR", help="default: as --config names it")
    parser.add_argument("--config", type=Path, metavar="FILE", help=f"the collector's file (default {CONFIG})")
    parser.add_argument("--language", choices=LANGUAGES, help="default: the contact's own")
    parser.add_argument(
        "--kind", choices=(*samples.KINDS, "all"), default="trouble", help="of notice (default: trouble)"
    )
    parser.add_argument("--contact", metavar="ID", help="whom the samples are to (default: the inventory's first)")
    parser.add_argument(
        "--html", type=Path, metavar="PATH", help="write HTML: one mail to a FILE.html, else into a folder"
    )
    parser.add_argument("--mail", type=Path, metavar="DIR", help="write whole messages (.eml), as they would be sent")


def run(args: argparse.Namespace) -> int:
    inventory = load(args.dir or inventory_directory(args.config or CONFIG))
    contact = _contact(inventory, args.contact)
    kinds = samples.KINDS if args.kind == "all" else (args.kind,)
    mails = list(_mails(inventory, contact, args.language or contact.language, kinds, int(time.time() * 1000)))
    if not mails:
        print("This inventory has nothing that such a notice could be about.")
        return 1
    if args.html is not None:
        _write_html(args.html, mails)
    if args.mail is not None:
        files.make_directory(args.mail)
        for name, mail in mails:
            files.replace(args.mail / f"{name}.eml", mail.message, durable=False)
    if args.html is None and args.mail is None:
        for name, mail in mails:
            print(f"===== {name}\nSubject: {mail.subject}\n\n{mail.text}")
    return 0


def _mails(
    inventory: Inventory, to: Contact, language: str, kinds: tuple[NoticeKind, ...], now: int
) -> Iterator[tuple[str, RenderedMail]]:
    signer = LinkSigner(_KEY)
    for kind in kinds:
        for sample in samples.samples(inventory, now, kind, to):
            context = MailContext(
                inventory=inventory,
                now=now,
                domain="haidang.example",
                sender="haidang@haidang.example",
                base_url=SAMPLE_BASE_URL,
                sign=signer.sign,
                bounds=sample.bounds,
                day=sample.day,
            )
            yield f"{sample.name}-{language}", render(sample.notice, sample.incidents, context, language, to)


def _write_html(path: Path, mails: list[tuple[str, RenderedMail]]) -> None:
    if path.suffix in (".html", ".htm") and not path.is_dir():
        files.replace(path, mails[0][1].html.encode(), durable=False)
        print(f"{path}: {mails[0][1].subject}")
        if len(mails) > 1:
            print(f"{len(mails) - 1} more: give a folder to have them all")
        return
    files.make_directory(path)
    for name, mail in mails:
        file = path / f"{name}.html"
        files.replace(file, mail.html.encode(), durable=False)
        print(f"{file}: {mail.subject}")


def _contact(inventory: Inventory, ident: str | None) -> Contact:
    if ident is None:
        return next(iter(inventory.contacts.values()), _NOBODY)
    contact = inventory.contacts.get(ident)
    if contact is None:
        contact_ids = ", ".join(sorted(inventory.contacts)) or "none"
        raise argparse.ArgumentError(None, f"there is no contact {ident}; there are: {contact_ids}")
    return contact
