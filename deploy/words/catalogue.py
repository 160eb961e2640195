"""``scripts/words``: collects the words of templates and programs, updates the catalogues, compiles them.

The same source gives the same bytes: no dates, no line numbers, entries in the order of their words. A new entry comes
with an empty translation and is listed; one that nobody says any more goes. A translation is never guessed.
"""

import argparse
import io
import re
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from alerts.language.catalogue import LANGUAGES, LOCALE, MESSAGES, REASONS, SOURCE
from deploy.words import sentences
from inventory.protocol import kinds

ROOT: Final = Path(__file__).parents[2]
# whose words are for people; the agent's sentences are a domain of their own
PACKAGES: Final = ("alerts", "collector", "inventory/model")
RETIRED: Final = "said by older versions only"
EXCLUDED: Final = ("alerts/cli/delivery_test.py",)  # its say() speaks English to who runs a command
COMMENTS: Final = "words:"  # a comment that begins so, before the words, is for the translator
KEYWORDS: Final[Mapping[str, tuple[int | tuple[int, str], ...] | None]] = {
    "_": None,
    "gettext": None,
    "ngettext": (1, 2),
    "counted": (1, 2),
    "pgettext": ((1, "c"), 2),
    "npgettext": ((1, "c"), 2, 3),
    "mark": ((1, "c"), 2),
    "message": None,
}


class SourceMessage(NamedTuple):
    """Words that somebody says. ``words``: with its plural, a pair."""

    words: str | tuple[str, str]
    context: str | None
    file: str
    comments: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()


class Domain(NamedTuple):
    """A catalogue of one language. ``holes``: finds the names of what is put into its words.

    ``keeps``: what nobody says any more stays, for agents of older versions and kept evidence do. Whoever wants it gone
    takes it out of the file.
    """

    name: str
    source_messages: Callable[[], Iterable[SourceMessage]]
    holes: re.Pattern[str]
    keeps: bool = False
    language: str = "vi"

    @property
    def po(self) -> Path:
        return LOCALE / self.language / "LC_MESSAGES" / f"{self.name}.po"

    @property
    def mo(self) -> Path:
        return self.po.with_suffix(".mo")


class _Steady(Catalog):
    """A catalogue whose head says nothing that changes by itself."""

    @property
    def mime_headers(self) -> list[tuple[str, str]]:
        return [
            ("Project-Id-Version", "Hai Dang"),
            ("Language", str(self.locale_identifier)),
            ("Plural-Forms", self.plural_forms),  # the language's own, as CLDR has them
            ("MIME-Version", "1.0"),
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Content-Transfer-Encoding", "8bit"),
        ]

    @mime_headers.setter
    def mime_headers(self, value: object) -> None:
        """What a file says there is not taken over."""


def messages_of_source() -> Iterator[SourceMessage]:
    """What the programs' modules and templates say."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*")):
            name = path.relative_to(ROOT).as_posix()
            if name in EXCLUDED:
                continue
            if path.suffix == ".py":
                yield from _extracted("python", path, name)
            elif "templates" in path.parts and path.is_file():
                yield from _extracted("jinja2.ext:babel_extract", path, name)


def messages_of_kinds() -> Iterator[SourceMessage]:
    """What the kinds of probe declare for pages and mails."""
    for name, kind in sorted(kinds.load().items()):
        file = f"agent/probes/{name}.py"
        yield SourceMessage(kind.title, "kind", file)
        for mail in kind.mails.values():
            for words in (mail.headline, mail.link_headline, *mail.steps):
                if words:
                    yield SourceMessage(words, None, file)


def _extracted(method: str, path: Path, name: str) -> Iterator[SourceMessage]:
    # a template that cannot be read is to be heard of; trim_blocks and newstyle as the pages' own environment has them
    options = {"encoding": "utf-8", "silent": "false", "trim_blocks": "true", "newstyle_gettext": "true"}
    with path.open("rb") as file:
        for _, words, comments, context in extract(method, file, KEYWORDS, (COMMENTS,), options, True):
            plural = (words[0], words[1]) if isinstance(words, tuple) else words
            yield SourceMessage(
                plural, context, name, tuple(comments), ("python-format",) if PERCENT.search(str(words)) else ()
            )


PERCENT: Final = re.compile(r"%\((\w+)\)[a-z]")  # as Python's % fills in
HOLES: Final = re.compile(r"(?:%\(|\{)(\w+)(?:\)[a-z]|\})")  # of _(), and of say(), which has them in braces


def messages_of_reasons() -> Iterator[SourceMessage]:
    """The sentences of agents, with named fields: see :mod:`deploy.words.sentences`."""
    for words, files in sentences.distinct().items():
        for file in files:
            yield SourceMessage(words, None, file)


DOMAINS: Final = tuple(
    domain._replace(language=language)
    for language in LANGUAGES
    if language != SOURCE
    for domain in (
        Domain(MESSAGES, lambda: (*messages_of_source(), *messages_of_kinds()), HOLES),
        Domain(REASONS, messages_of_reasons, re.compile(r"\{(\w+)(?::\w)?\}"), keeps=True),
    )
)


def update_catalog(domain: Domain) -> Catalog:
    """What is said now, with the translations that are known."""
    old = stored_catalog(domain)
    fresh = _Steady(locale=domain.language, charset="utf-8", fuzzy=False)
    fresh.header_comment = f"# Domain {domain.name}. scripts/words keeps the entries, people the translations."
    messages_by_key: dict[tuple[str, str], list[SourceMessage]] = {}
    for one in domain.source_messages():
        key = one.words if isinstance(one.words, str) else one.words[0]
        messages_by_key.setdefault((key, one.context or ""), []).append(one)
    shapes = {_shape(domain, _first(message.id)): message for message in entries(old)} if domain.keeps else {}
    for shape in shapes.keys() - {_shape(domain, key) for key, _ in messages_by_key}:
        if _first(shapes[shape].string):
            key = _first(shapes[shape].id)
            messages_by_key[key, ""] = [SourceMessage(key, None, "", (RETIRED,))]
    for (key, context), several in sorted(messages_by_key.items()):
        previous = old.get(key, context or None)
        if previous is None and _shape(domain, key) in shapes:
            previous = _renamed(domain, shapes[_shape(domain, key)], key)
        # one that is asked for with a plural anywhere has one everywhere
        words = next((one.words for one in several if not isinstance(one.words, str)), key)
        strings = ("",) if previous is None else _all(previous.string)
        flags = {flag for one in several for flag in one.flags}
        fresh.add(
            words,
            strings[0] if isinstance(words, str) else (*strings, *("",) * fresh.num_plurals)[: fresh.num_plurals],
            locations=[(file, 0) for file in sorted({one.file for one in several if one.file})],
            flags=sorted(flags | ({"fuzzy"} if previous is not None and previous.fuzzy else set())),
            auto_comments=sorted({comment for one in several for comment in one.comments}),
            user_comments=() if previous is None else previous.user_comments,
            context=context or None,
        )
    return fresh


def _shape(domain: Domain, words: str) -> str:
    """The words whatever their places are called."""
    return domain.holes.sub(lambda hole: hole[0].replace(hole[1], "", 1), words)


def _renamed(domain: Domain, message: Message, words: str) -> Message:
    """The entry of a sentence whose places were called otherwise: a renamed variable costs no translation."""
    before, after = (domain.holes.findall(each) for each in (_first(message.id), words))
    called: dict[str, str] = dict(zip(before, after, strict=True))
    string = domain.holes.sub(lambda hole: hole[0].replace(hole[1], called[hole[1]], 1), _first(message.string))
    return Message(words, string, flags=message.flags, user_comments=message.user_comments)


def stored_catalog(domain: Domain) -> Catalog:
    """As the file has it; empty where there is none yet."""
    if not domain.po.exists():
        return Catalog(locale=domain.language)
    with domain.po.open("rb") as file:
        return read_po(file, locale=domain.language, domain=domain.name, abort_invalid=True)


def entries(catalog: Catalog) -> list[Message]:
    return [message for message in catalog if message.id]


def text(catalog: Catalog) -> bytes:
    """The catalogue's file, for people."""
    out = io.BytesIO()
    write_po(out, catalog, width=0, include_lineno=False)
    return out.getvalue()


def compiled(catalog: Catalog) -> bytes:
    """The catalogue's file, for the program."""
    out = io.BytesIO()
    write_mo(out, catalog)
    return out.getvalue()


def problems(domain: Domain, catalog: Catalog) -> list[str]:
    """What a translator has to see to, one line each."""
    return [f"{_name(message)}: {why}" for message in entries(catalog) for why in _wrong(domain, message)]


def _wrong(domain: Domain, message: Message) -> Iterator[str]:
    english = message.id if isinstance(message.id, str) else message.id[-1]  # the plural has all places
    forms = _all(message.string)
    if not all(forms):
        yield "no translation"
        return
    if message.fuzzy:
        yield "marked fuzzy: look at it and take the mark away"
    percent = domain.holes in (PERCENT, HOLES) and "{" not in english  # in say() a per cent sign is only that
    for form in forms:
        ours, theirs = (sorted(set(domain.holes.findall(one))) for one in (english, form))
        if ours != theirs:
            yield f"has places for {ours}, its translation for {theirs}"
        elif percent and not all(_fillable(one, ours) for one in (english, form)):
            yield "cannot be filled in: a per cent sign of its own is written twice"
        if not unicodedata.is_normalized("NFC", form):
            yield "the translation is not in composed letters (NFC)"
        if [english[:1].isspace(), english[-1:].isspace()] != [form[:1].isspace(), form[-1:].isspace()]:
            yield "spaces at the ends differ"


def _fillable(words: str, names: list[str]) -> bool:
    try:
        return bool(words % dict.fromkeys(names, 1))
    except (TypeError, ValueError):
        return False


def _name(message: Message) -> str:
    words = _first(message.id)
    return f"{words!r} ({message.context})" if message.context else repr(words)


def _first(several: Any) -> str:
    """Of one text, or of the several that an entry with a plural has."""
    return _all(several)[0]


def _all(several: Any) -> tuple[str, ...]:
    """One text, or a text for each plural form of the language; Vietnamese has one form."""
    return (several,) if isinstance(several, str) else tuple(several)


def stale_files(domain: Domain, catalog: Catalog) -> list[str]:
    """Files that are not what the source and the translations make them."""
    expected = ((domain.po, text(catalog)), (domain.mo, compiled(catalog)))
    return [path.name for path, content in expected if not path.exists() or path.read_bytes() != content]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="scripts/words", description="Update and compile the catalogues of words.")
    parser.add_argument("--check", action="store_true", help="change nothing; 1 when something is stale or missing")
    check: bool = parser.parse_args(arguments).check
    wrong = False
    for domain in DOMAINS:
        catalog = update_catalog(domain)
        old = {(message.id, message.context) for message in entries(stored_catalog(domain))}
        new = {(message.id, message.context) for message in entries(catalog)}
        for gone, _ in sorted(old - new, key=str):
            print(f"{domain.name}: {gone!r}: nobody says this any more{'' if check else '; it was taken out'}")
        changed = stale_files(domain, catalog)
        for file in changed:
            print(f"{file}: {'stale; run scripts/words' if check else 'written'}")
        if not check:
            domain.po.parent.mkdir(parents=True, exist_ok=True)
            domain.po.write_bytes(text(catalog))
            domain.mo.write_bytes(compiled(catalog))
        issues = problems(domain, catalog)
        where = domain.po.relative_to(ROOT)
        print(*issues, f"{domain.name}: {len(new)} entries, {len(issues)} to see to in {where}", sep="\n")
        wrong = wrong or bool(issues) or (check and bool(changed))
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
