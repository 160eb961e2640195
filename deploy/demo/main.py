"""The demo: a collector and three agents on loopback, faults made on purpose, and what the ledger says of them.

The estate: the data centre's portal and mail; two agencies, each with a router, a printer of its own and a leased line
(a relay on loopback) over which it reaches the portal and its agent the collector. Then, one after the other:
the portal dies and recovers; an agency's line is cut for a while, and while it is cut the printer behind it fails,
which nobody can know until the backlog is in; an agent is killed and comes back. Each is to be one mail and one that
it is over, but for the printer: what nobody could know in time pages nobody. No root, nothing leaves the machine.
"""

import argparse
import asyncio
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from deploy.demo import mail_check, truth
from deploy.demo.estate import DemoService, Outage, greeting, link_to, now_ms, web_page
from deploy.demo.mailbox import MailSink
from deploy.programs import AgentProcess, CollectorProcess, ProgramFailed, free_port

INTERVAL, TIMEOUT, RECHECK = 2_000, 1_000, 1_000  # ms
LOOKS = 3  # that make an incident: the default
SILENT = 6_000  # ms
QUIET = 4_000  # ms that all is well until an incident is over
HOLD = 2 * INTERVAL + TIMEOUT


class Estate:
    """Everything that the demo starts."""

    def __init__(self, directory: Path) -> None:
        self.portal = DemoService("the portal is dead", web_page("Cổng thông tin điện tử"))
        self.mail = DemoService("mail is dead", greeting("220 mail.example ready"))
        self.printer_a = DemoService("agency A's printer is dead", greeting("printer A"))
        self.printer_b = DemoService("agency B's printer is dead", greeting("printer B"))
        self.services = (self.portal, self.mail, self.printer_a, self.printer_b)
        self.mailbox = MailSink()
        self.collector = CollectorProcess(directory / "collector", directory / "inventory", free_port(), free_port())
        self.lines = {
            name: DemoService(f"{name}'s line is cut", link_to(self.collector.agents_port))
            for name in ("agency A", "agency B")
        }
        self.portal_lines: dict[
            str, DemoService
        ] = {}  # the same lines, as the agencies' PCs see the portal through them
        self.routers = {name: DemoService(f"{name}'s line is cut", greeting("router")) for name in self.lines}
        self.agents = {name: AgentProcess(name, directory / name) for name in ("data-centre", "agency-a", "agency-b")}
        self.directory = directory

    async def start(self) -> None:
        await self.mailbox.start()
        for service in (*self.services, *self.lines.values(), *self.routers.values()):
            await service.start()
        for name in self.lines:
            self.portal_lines[name] = DemoService(f"{name}'s line is cut", link_to(self.portal.port))
            await self.portal_lines[name].start()
        self._write_inventory()
        with self.collector.config.open("a") as config:
            relay = f"{{host: 127.0.0.1, port: {self.mailbox.port}, tls: none}}"
            config.write(f"alerts: {{from: haidang@demo.example, url: '{self.collector.page}', relays: [{relay}]}}\n")
        await self.collector.start()
        urls = {"agency-a": self.lines["agency A"].port, "agency-b": self.lines["agency B"].port}
        for agent in self.agents.values():
            await agent.enrol(self.collector, f"https://127.0.0.1:{urls.get(agent.name, self.collector.agents_port)}")
            await agent.start()

    def cut(self, name: str) -> None:
        self.lines[name].die()
        self.portal_lines[name].die()
        self.routers[name].die()  # as the data centre sees it

    async def mend(self, name: str) -> None:
        await self.portal_lines[name].start()
        await self.routers[name].start()
        await self.lines[name].start()

    async def stop(self) -> None:
        for agent in self.agents.values():
            await agent.program.stop()
        await self.collector.stop()
        for service in (
            self.portal,
            self.mail,
            self.printer_a,
            self.printer_b,
            *self.lines.values(),
            *self.portal_lines.values(),
            *self.routers.values(),
        ):
            service.stop()
        self.mailbox.stop()

    def _write_inventory(self) -> None:
        def tcp(vi: str, en: str, service: DemoService, expect: str = "") -> dict[str, Any]:
            params = {"host": "127.0.0.1", "port": service.port, **({"expect": expect} if expect else {})}
            return {"name": {"vi": vi, "en": en}, "kind": "tcp", "params": params, **PACE}

        def web(vi: str, en: str, service: DemoService) -> dict[str, Any]:
            params = {"url": f"http://127.0.0.1:{service.port}/", "expect_body": "Cổng thông tin"}
            return {"name": {"vi": vi, "en": en}, "kind": "http", "params": params, **PACE}

        def agency(vi: str, en: str, agent: str, checks: dict[str, Any], **site: Any) -> dict[str, Any]:
            site = {"agent": agent, "checks": checks, **site}
            return {"name": {"vi": vi, "en": en}, "site": site, "contacts": [agent]}

        def line(circuit: str) -> dict[str, Any]:
            return {"link": {"provider": "nha-mang", "circuit": circuit}}

        def router(name: str) -> dict[str, Any]:
            check = tcp("Đường truyền nhìn từ trung tâm", "WAN link seen from the hub", self.routers[name])
            return {**check, "agent": "hub", "link": True}

        def contact(vi: str, en: str, name: str) -> dict[str, Any]:
            return {"name": {"vi": vi, "en": en}, "email": f"{name}@demo.example"}

        over = "Cổng thông tin qua đường truyền", "Portal over the leased line"
        inventory = {
            "province": {
                "id": "demo", "name": {"vi": "Tỉnh mẫu", "en": "Demo province"}, "push_every": "2s", "hub": "thdl",
            },
            "providers": {"nha-mang": {"name": {"vi": "Nhà mạng mẫu", "en": "Demo provider"}, "contact": "1900 0000"}},
            "contacts": {
                "data-centre": contact("Trực trung tâm", "Duty desk", "truc"),
                "agency-a": contact("Quản trị Sở Nội vụ", "Administrator of agency A", "so-noi-vu"),
                "agency-b": contact("Quản trị huyện Kế Sách", "Administrator of agency B", "ke-sach"),
            },
            # as the defaults, but at the pace of the demo
            "conditions": {
                # the same portal, which stands at another port for each line here: told by the data centre's own check
                "over-line": {"on": "down", "select": {"checks": ["?-portal"]}, "severity": "info"},
                "down": {"quiet": f"{QUIET}ms"},
                "silent": {"for": f"{SILENT}ms", "quiet": f"{QUIET}ms"},
            },
            "agencies": {
                "thdl": agency("Trung tâm tích hợp dữ liệu", "Data centre", "data-centre", {
                    "portal": web("Cổng thông tin", "Portal", self.portal),
                    "mail": tcp("Thư điện tử", "Mail", self.mail, "220"),
                }),
                "so-noi-vu": agency("Sở Nội vụ", "Home affairs (agency A)", "agency-a", {
                    "a-portal": web(*over, self.portal_lines["agency A"]),
                    "a-printer": tcp("Máy in", "Printer", self.printer_a, "printer"),
                    "a-router": router("agency A"),
                }, **line("TSLCD-01")),
                "ke-sach": agency("Huyện Kế Sách", "Kế Sách district (agency B)", "agency-b", {
                    "b-portal": web(*over, self.portal_lines["agency B"]),
                    "b-printer": tcp("Máy in", "Printer", self.printer_b, "printer"),
                    "b-router": router("agency B"),
                }, **line("TSLCD-02")),
            },
        }  # fmt: skip
        path = self.directory / "inventory" / "demo.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(inventory, allow_unicode=True, sort_keys=False), "utf-8")


CHECKS = 8
PACE = {"interval": f"{INTERVAL}ms", "timeout": f"{TIMEOUT}ms", "recheck": f"{RECHECK}ms"}


async def play(estate: Estate, pace: float) -> list[Outage]:
    """The faults, one after the other, told as they happen. The moments without the killed agent are returned."""
    began = time.monotonic()

    def tell(text: str) -> None:
        print(f"  {time.monotonic() - began:6.1f} s  {text}", flush=True)

    async def rest(seconds: float) -> None:
        await asyncio.sleep(seconds * pace)

    tell("everything works")
    await rest(8)
    estate.portal.die()
    tell("the portal dies")
    await rest(15)
    await estate.portal.start()
    tell("the portal is back")
    await rest(12)
    estate.cut("agency A")
    tell("agency A's leased line is cut")
    await rest(8)
    estate.printer_a.die()
    tell("agency A's printer fails, and nobody at the centre can know")
    await rest(10)
    await estate.printer_a.start()
    tell("agency A's printer is back")
    await rest(8)
    await estate.mend("agency A")
    tell("agency A's line is back; its backlog comes in")
    await rest(10)
    blind = Outage("agency B's agent was dead", now_ms())
    await estate.agents["agency-b"].program.kill()
    tell("agency B's agent is killed (SIGKILL)")
    await rest(15)
    await estate.agents["agency-b"].start()
    blind.ended = now_ms()
    tell("agency B's agent starts again")
    await rest(12)
    tell("everything works; the ledger is asked")
    return [blind]


async def compare_with_ledger(estate: Estate, start: int, end: int, blind: list[Outage]) -> bool:
    """Print truth beside ledger; True when they agree."""
    checks = {each["check"]: each for each in await estate.collector.ask("/api/v1/checks")}
    portal, line, printer = estate.portal.outages, estate.portal_lines["agency A"].outages, estate.printer_a.outages
    happened: dict[str, list[Outage]] = {
        "portal": portal,
        "mail": [],
        "a-portal": sorted([*portal, *line], key=lambda outage: outage.begun),
        "a-printer": printer,
        "so-noi-vu.a-router": estate.routers["agency A"].outages,
        "b-portal": portal,
        "b-printer": [],
        "ke-sach.b-router": [],
    }
    fine = True
    print(f"\n{'check':10} {'what truly happened':30} {'for':>7}   {'began':>9} {'ended':>9}   in the ledger")
    for name, outages in happened.items():
        uid = checks[name]["uid"]
        availability = await estate.collector.ask(f"/api/v1/checks/{uid}/availability", {"from": start, "to": end})
        spans = availability["spans"]
        for outage in outages:
            comparison = truth.compare(name, outage, spans, INTERVAL + TIMEOUT, RECHECK + TIMEOUT)
            verdict = "; ".join(comparison.wrong) or "agrees"
            fine &= not comparison.wrong
            lasted = (outage.ended - outage.begun) / 1000
            print(
                f"{name:10} {outage.what:30} {lasted:5.1f} s   {comparison.begun:+7.2f} s {comparison.ended:+7.2f} s   "
                f"{verdict}"
            )
        wrong = truth.contradictions(spans, outages)
        real = truth.available(outages, start, end)
        figure = availability["figure"]
        if not figure["lower"] <= real <= figure["upper"]:
            wrong.append("the truth is outside the bounds")
        if name.startswith("b-") and truth.proven_within(spans, blind[0].begun + HOLD, blind[0].ended):
            wrong.append("something is said to be proven while the agent was dead")
        fine &= not wrong
        print(
            f"{name:10} truly available {real:.2%}, the ledger: {figure['best']:.2%} "
            f"[{figure['lower']:.2%} to {figure['upper']:.2%}], coverage {figure['coverage']:.2%}"
            f"   {'; '.join(wrong) or 'agrees'}"
        )
    return fine


async def wait_for_results(estate: Estate, until: int, patience: float = 30.0) -> None:
    """Wait until every check's evidence reaches past ``until``."""
    deadline = time.monotonic() + patience
    while True:
        checks = await estate.collector.ask("/api/v1/checks")
        behind = [each["check"] for each in checks if (each["last_result"] or 0) < until]
        if len(checks) == CHECKS and not behind:
            return
        if time.monotonic() > deadline:
            raise ProgramFailed(f"no results after {patience:g} s from: {', '.join(behind) or 'some checks'}")
        await asyncio.sleep(0.2)


async def demo(directory: Path, pace: float, keep: bool) -> int:
    estate = Estate(directory)
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        story = asyncio.create_task(_story(estate, pace))
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait({story, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if not story.done():
            story.cancel()
            return 1
        agreed = story.result()
        print("\nTruth, ledger and mails agree." if agreed else "\nTruth, ledger and mails do NOT agree.")
        if keep:
            print(f"Still running: {estate.collector.page}/  (state in {directory}; Ctrl-C stops)", flush=True)
            await stopped
        return 0 if agreed else 1
    finally:
        await estate.stop()


async def _story(estate: Estate, pace: float) -> bool:
    print("Starting a collector, three agents and what they watch ...", flush=True)
    await estate.start()
    await wait_for_results(estate, 1)
    print(f"Page: {estate.collector.page}/   metrics: {estate.collector.page}/metrics\n", flush=True)
    start = now_ms()
    blind = await play(estate, pace)
    end = now_ms()
    await wait_for_results(estate, end)
    fine = await compare_with_ledger(estate, start, end, blind)
    within = LOOKS * RECHECK + 5_000
    faults = [
        mail_check.Fault("truc", estate.portal.outages[0], within),
        mail_check.Fault("so-noi-vu", estate.routers["agency A"].outages[0], within),
        mail_check.Fault("ke-sach", blind[0], SILENT + 5_000),
    ]
    everyone = {"truc", "so-noi-vu", "ke-sach"}
    return await mail_check.check_mails(estate.mailbox, faults, everyone, 2 * QUIET + 5_000) and fine


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/demo", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--keep", action="store_true", help="leave everything running afterwards, until Ctrl-C")
    parser.add_argument("--pace", type=float, default=1.0, help="multiply all pauses of the story (default 1)")
    args = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="haidang-demo-"))
    try:
        code = asyncio.run(demo(directory, args.pace, args.keep))
    except ProgramFailed as error:
        print(f"The demo failed: {error}", file=sys.stderr)
        code = 1
    if code:
        print(f"Logs and state are in {directory}", file=sys.stderr)
    else:
        shutil.rmtree(directory, ignore_errors=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
