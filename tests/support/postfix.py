"""Debian's postfix on loopback, with TLS, logins that dovecot judges, and one mailbox; it never delivers elsewhere."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.programs import free_port
from tests.support.mail_servers import DOVECOT, IssuedCertificate

POSTFIX = "/usr/sbin/postfix"
MASTER = "/usr/lib/postfix/sbin/master"
USER, PASSWORD = "haidang", "mat khau 7"
MAILBOX = "operator@province.example"

MAIN = """
compatibility_level = 3.6
config_directory = {here}/etc
queue_directory = {here}/queue
data_directory = {here}/data
maillog_file = {here}/log
maillog_file_prefixes = {here}
myhostname = relay.province.example
mydestination =
mynetworks =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
alias_database =
local_recipient_maps =
virtual_mailbox_domains = province.example
virtual_mailbox_maps = inline:{{ {{ {mailbox} = operator/ }} }}
virtual_mailbox_base = {here}/mail
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
virtual_minimum_uid = 1
default_transport = error:nothing leaves this machine
relay_transport = error:nothing leaves this machine
smtpd_relay_restrictions = permit_sasl_authenticated, reject_unauth_destination
smtpd_tls_security_level = may
smtpd_tls_auth_only = yes
smtpd_tls_chain_files = {certificate}
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = {here}/auth/socket
smtpd_error_sleep_time = 0
message_size_limit = 200000
"""

MASTER_CF = """
127.0.0.1:{starttls} inet n - n - - smtpd
127.0.0.1:{tls} inet n - n - - smtpd -o smtpd_tls_wrappermode=yes
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
"""

DOVECOT_CONF = """
protocols =
base_dir = {here}/auth/run
state_dir = {here}/auth/state
log_path = {here}/auth/log
default_internal_user = nobody
default_internal_group = nogroup
default_login_user = nobody
ssl = no
auth_mechanisms = plain login
auth_failure_delay = 0
passdb {{
  driver = passwd-file
  args = {here}/auth/users
}}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home=/nonexistent
}}
service anvil {{
  chroot =
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service stats {{
  chroot =
}}
service auth {{
  unix_listener {here}/auth/socket {{
    mode = 0666
  }}
}}
"""


class Postfix:
    """``starttls``, ``tls``: its ports. ``certificate``: what it shows."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.starttls, self.tls = free_port(), free_port()
        self.certificate = IssuedCertificate(directory)
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        here, who = self.directory, pwd.getpwnam("nobody")
        for name in ("etc", "queue", "data", "mail", "auth"):
            (here / name).mkdir()
        os.chown(here / "mail", who.pw_uid, who.pw_gid)
        shutil.chown(here / "data", "postfix")
        fields = {"here": here, "mailbox": MAILBOX, "uid": who.pw_uid, "gid": who.pw_gid}
        files = {"certificate": self.certificate.file, "starttls": self.starttls, "tls": self.tls}
        (here / "etc/main.cf").write_text(MAIN.format(**fields, **files), "utf-8")
        (here / "etc/master.cf").write_text(MASTER_CF.format(**files), "utf-8")
        (here / "auth/users").write_text(f"{USER}:{{PLAIN}}{PASSWORD}::::::\n", "utf-8")
        (here / "auth/dovecot.conf").write_text(DOVECOT_CONF.format(here=here), "utf-8")
        self._spawn(DOVECOT, "-F", "-c", str(here / "auth/dovecot.conf"))
        # the queue's folders; "check" makes what is missing
        subprocess.run([POSTFIX, "-c", str(here / "etc"), "check"], check=True, capture_output=True)
        self._spawn(MASTER, "-c", str(here / "etc"), "-d")
        deadline = time.monotonic() + 20
        for port in (self.starttls, self.tls):
            while not _listens(port):
                assert time.monotonic() < deadline, self.log()
                assert all(process.poll() is None for process in self._processes), self.log()
                time.sleep(0.02)

    def stop(self) -> None:
        for process in reversed(self._processes):
            process.terminate()
            process.wait(20)

    def log(self) -> str:
        return "".join(
            file.read_text("utf-8", "replace")
            for file in (self.directory / "log", self.directory / "auth/log")
            if file.exists()
        )

    def wait_for_log(self, words: str, count: int = 1) -> None:
        """Waits until its log, which comes a little later, says so."""
        deadline = time.monotonic() + 20
        while self.log().count(words) < count:
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.02)

    def wait_for_mails(self, count: int) -> list[bytes]:
        """What is in the mailbox, once there are so many."""
        new = self.directory / "mail/operator/new"
        deadline = time.monotonic() + 20
        while not new.exists() or len(list(new.iterdir())) < count:
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.02)
        return [file.read_bytes() for file in sorted(new.iterdir())]

    def _spawn(self, *command: str) -> None:
        self._processes.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def running_postfix() -> Iterator[Postfix]:
    """For a fixture: started, and stopped by its pids at the end."""
    if not Path(MASTER).exists() or not Path(DOVECOT).exists():
        pytest.skip("needs postfix and dovecot-imapd")
    # not below pytest's folder, which its unprivileged processes cannot enter
    with tempfile.TemporaryDirectory(prefix="haidang-postfix-") as name:
        Path(name).chmod(0o755)
        postfix = Postfix(Path(name))
        try:
            postfix.start()
            yield postfix
        finally:
            postfix.stop()
