"""Lists that people keep for :mod:`deploy.sentences`: modules without reasons, exceptions, assembled sentences.

A test fails when an entry here has nothing to do any more.
"""

from collections.abc import Mapping
from typing import Final

# Modules of the agent that make no reasons: they speak to who runs them, to servers, or to the collector.
MODULES_WITHOUT_REASONS: Final = (
    "agent/cli/main.py",
    "agent/first_steps.py",  # what mails advise
    "agent/clock.py",
    "agent/config.py",
    "agent/cli/doctor.py",
    "agent/uplink/enrol.py",
    "agent/uplink/hub.py",
    "agent/uplink/identity.py",
    "agent/cli/kinds_file.py",
    "inventory/base/logs.py",
    "agent/cli/once.py",
    "agent/uplink/plans.py",
    "agent/uplink/push.py",
    "agent/runtime/run.py",
    "agent/runtime/certificates.py",
    "agent/runtime/plan_follower.py",
    "agent/runtime/pushers.py",
    "agent/runtime/reporter.py",
    "agent/runtime/service.py",
    "agent/spool/",
    "agent/runtime/status.py",
    "inventory/base/systemd.py",
    "agent/uplink/connection.py",
    "agent/jobs/book.py",
    "agent/jobs/candidates.py",
    "agent/jobs/command.py",
    "agent/jobs/delivery.py",
    "agent/jobs/listener.py",
    "agent/jobs/side.py",
    "agent/jobs/wrapper.py",
    "agent/clients/ups/mibs/",  # codes of devices and the flags that they mean
    "agent/backup/commands.py",
    "agent/backup/series.py",  # what its series are
    "agent/clients/tls/der.py",  # its errors are caught by who asks; a certificate that cannot be read is passed over
)

# Strings that the walk takes for sentences and that never become a reason, with why.
NO_REASONS: Final[Mapping[str, str]] = {
    # headers and commands that go to servers
    "Accept-Encoding: identity": "a request's header",
    "Connection: close": "a request's header",
    "-c default_transaction_read_only=on": "an option for psql",
    "Hai Dang: mail test": "a mail's subject",
    "text/plain; charset=us-ascii": "a mail's header",
    "This mail was sent by a monitoring agent (Hai Dang) to see that mail works.\n"
    "It is deleted as soon as it has been found. Nobody needs to read or answer it.": "a mail's text",
    "import sys; sys.path[:] = sys.argv[1:]; from agent.clients.tls.staple import main; main()": "a program",
    # what others say, looked for in their words
    "Frame requires too much memory for decoding": "libzstd's words",
    "does not match": "restic's words",
    "not found": "restic's words",
    # msgspec's words, and what they are turned into: see ASSEMBLED
    "^Object contains unknown field `(.+?)`.*$": "msgspec's words",
    "^Object missing required field `(.+?)`.*$": "msgspec's words",
    "^Invalid enum value (.+) - at `\\$\\.(.+)`$": "msgspec's words",
    "^Expected (.+) - at `\\$\\.(.+)`$": "msgspec's words",
    "^(.+) - at `\\$\\.(.+)`$": "msgspec's words",
    "there is no parameter \\1": "in ASSEMBLED",
    "the parameter \\1 is missing": "in ASSEMBLED",
    "\\2 cannot be \\1": "in ASSEMBLED",
    "\\2: expected \\1": "in ASSEMBLED",
    # pieces whose sentences are in ASSEMBLED
    "the backup {ever}": "in ASSEMBLED",
    "was read through last": "in ASSEMBLED",
    "has not been read through in": "in ASSEMBLED",
    "no run ended since": "in ASSEMBLED",
    "it has not run since it is waited for,": "in ASSEMBLED",
    "at the latest": "in ASSEMBLED",
    "{so} of": "joins names",
    # of whatever stands before them, so these would fit what strangers say
    "{where} contains {refuse_body}": "in ASSEMBLED",
    "{where} does not contain {expect_body}": "in ASSEMBLED",
    "{where} does not match {expect_pattern}": "in ASSEMBLED",
    "{where} matches {refuse_pattern}": "in ASSEMBLED",
    # durations, which alerts/language/quantities.py says
    "{seconds:n} minutes": "a duration",
    "{seconds:n} hours": "a duration",
    "{seconds:n} days": "a duration",
    "{minutes} min": "a duration",
    "{hours} h {minutes} min": "a duration",
    # what was done, kept for who looks into the agent's own files; no reason
    "borg check": "how a copy was proved",
    "restic check": "how a copy was proved",
    "zip of {members} members": "how a copy was proved",
    "tar of {members} members": "how a copy was proved",
    "{count} entries": "how a copy was proved",
    "{count} files against their names": "how a copy was proved",
    # what the agent says at its start, in its log or to doctor
    "can be read by everybody on this machine": "said by doctor",
    "cannot be read by this user": "said by doctor",
    "cannot be read: {error}": "said by doctor",
    "give {plain} or {key}, not both": "a mistake in the agent's own file, which then does not start",
    "first look": "in the log",
    "no answer ({ignored} other packets)": "an exception that the kinds give words of their own",
}

# Sentences that are put together from pieces, as they come out; and those of a single word.
ASSEMBLED: Final = (
    # what a backup's reason names its evidence by
    "pings",
    "files",
    "repository",
    "drill",
    "overloaded",
    "sender",
    "recipient",
    "behind",
    "nothing",
    "connecting",
    "{count} packet",
    "{count} packets",
    "'{copy}' failed",
    "the last run of {job} of {host} failed",
    "{offset:d} ahead of",
    "{offset:d} behind",
    "at the latest {at}",
    "upsd at {who}",
    "there is no backup of {path} of {host}",
    "the last run of {job} of {host}",
    "no run ended since {last}",
    "it has not run since it is waited for, {last}",
    "the backup was read through last {since:d} ago",
    "the backup has not been read through in {since:d}",
    "the body contains {text}",
    "the body does not contain {text}",
    "the body does not match {text}",
    "the body matches {text}",
    "the first {count} bytes of the body contains {text}",
    "the first {count} bytes of the body does not contain {text}",
    "the first {count} bytes of the body does not match {text}",
    "the first {count} bytes of the body matches {text}",
    "there is no parameter {name}",
    "the parameter {name} is missing",
    "{name} cannot be '{value}'",
    "{name}: expected `{what}",
)

# The system's own words (Linux) for its commonest errors, which reasons pass on.
ERRORS: Final = (
    "Cannot allocate memory",
    "Connection refused",
    "Connection timed out",
    "Exec format error",
    "File exists",
    "File name too long",
    "Input/output error",
    "Invalid argument",
    "Is a directory",
    "Network is down",
    "Network is unreachable",
    "No route to host",
    "No space left on device",
    "No such device",
    "No such file or directory",
    "Not a directory",
    "Operation not permitted",
    "Permission denied",
    "Read-only file system",
    "Stale file handle",
    "Too many levels of symbolic links",
    "Too many open files",
)

# Functions and tables whose words say something of what stands before them: "HOST port 25" + "refused the connection".
PREDICATES: Final = (
    ("agent/failure.py", "_TARGET"),
    ("agent/backup/judge.py", "flaw"),
    ("agent/backup/repositories/bacula.py", "_ENDED"),
    ("agent/backup/repositories/bacula.py", "wrong"),
    ("agent/backup/repositories/restic.py", "_wrong"),
    ("agent/backup/repositories/rsnapshot.py", "wrong"),
    ("agent/clients/mail/imap.py", "refusal"),
    ("agent/clients/mail/smtp.py", "refusal"),
    ("agent/clients/snmp/v3.py", "_WORDS"),
    ("agent/clients/snmp/channel.py", "_SHOWN"),
    ("agent/clients/snmp/access.py", "_wrong"),
)

# Modules of the collector in which every string is a reason, as in the agent's; of its others only what is handed to
# ``step`` and ``Now`` is.
MODULES_OF_REASONS: Final[tuple[str, ...]] = ()
