"""Says what nothing in the source uses (vulture; tests are no users), but for what is used in ways it cannot see."""

import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import Final, NamedTuple

from vulture import Vulture

PACKAGES: Final = ("agent", "alerts", "collector", "deploy", "inventory")
MIN_CONFIDENCE: Final = 60  # of vulture's: a name that is nowhere else


class Allowed(NamedTuple):
    """Names in a file that may seem unused."""

    file: str  # a pattern as a shell's
    names: str  # patterns too, apart by blanks
    why: str

    def covers(self, file: str, name: str) -> bool:
        return fnmatch(file, self.file) and any(fnmatch(name, pattern) for pattern in self.names.split())


ALLOWED: Final = (
    Allowed("deploy/grafana/spec.py", "may_be_empty", "said of each panel, and held by a test against Prometheus"),
    Allowed("agent/probes/*.py", "[A-Z]*", "a kind of probe is found by being there"),
    Allowed("agent/prob*.py", "libraries", "said of each kind, and held by a test"),
    Allowed("agent/backup/integrity/inflate.py", "next_in next_out", "fields of zlib's structure, in its order"),
    Allowed("agent/clients/http/pattern.py", "log_errors max_mem never_capture", "RE2 reads them"),
    Allowed("agent/clients/snmp/*.py", "datagram_received", "asyncio calls it"),
    Allowed("agent/clients/snmp/v3.py", "PROTO_TRANSPORT transport_address", "pysnmp reads them"),
    Allowed("agent/clients/http/cookies.py", "unverifiable origin_req_host get_* has_* add_*", "the jar asks for them"),
    Allowed("agent/clients/tls/*.py", "Certificate OCSP*", "types, in quotes: the library is loaded when needed"),
    Allowed("agent/jobs/listener.py", "handle_error", "aiohttp calls it"),
    Allowed("agent/uplink/push.py", "ahead_ms acks results_sent", "in the status file"),
    Allowed("collector/evaluator/problems/quarantined.py", "quarantined_agents", "its condition names it"),
    Allowed("collector/web/api/backups.py", "reason_vi last_*", "fields of the API's answers"),
    Allowed("collector/web/api/*schemas.py", "reason_vi last_* told", "fields of the API's answers"),
    Allowed("collector/web/throughput.py", "output_size", "aiohttp reads it"),
    Allowed("collector/web/client_certificates.py", "num_tickets", "OpenSSL reads it"),
    Allowed("deploy/demo/mailbox.py", "handle_DATA", "aiosmtpd calls it"),
    Allowed("deploy/words/catalogue.py", "header_comment", "babel writes it"),
)


def main() -> int:
    vulture = Vulture()
    vulture.scavenge([str(path) for package in PACKAGES for path in sorted(Path(package).rglob("*.py"))])
    needed: set[Allowed] = set()
    wrong = []
    for item in vulture.get_unused_code(min_confidence=MIN_CONFIDENCE):
        file = Path(item.filename).resolve().relative_to(Path.cwd()).as_posix()
        allowed = [one for one in ALLOWED if one.covers(file, item.name)]
        needed.update(allowed)
        if not allowed:
            wrong.append(f"{file}:{item.first_lineno}: nothing uses the {item.typ} {item.name}")
    wrong += [f"{__file__}: {one.file} {one.names} need not be allowed" for one in ALLOWED if one not in needed]
    print("\n".join(wrong or ["All of it is used."]))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
