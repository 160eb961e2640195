"""Credentials of the agent by name: communities, users, passwords, and to whom each may go.

A plan names a credential; the agent's own file says what it is (``credentials:`` in ``agent.yaml``)::

    credentials:
      core-switches: {community_file: /etc/haidang/secrets/core-switches, hosts: [10.20.0.0/16]}
      mail-robot: {user: robot, password_file: secrets/mail-robot, hosts: [mail.example, "*.mail.example"]}
      old-ups: {user: monitor, password_file: secrets/ups, clear: true}

A key ``x_file`` is the key ``x`` with what that file holds, less its last line break; a file that changes is read anew.
``hosts`` and ``clear`` bind it, for a plan is written elsewhere: see :class:`Binding`.
"""

import ipaddress
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec

from agent.clients.net.own_networks import connected_networks
from agent.failure import ProbeFailed
from agent.probe import Address, Destination, Network
from inventory.base.problems import Place, Problem
from inventory.base.types import Secret
from inventory.protocol.reasons import Why, sentence
from inventory.protocol.states import UNKNOWN

ENDING: Final = "_file"
LARGEST: Final = 65_536  # bytes of a secret's file
SITE: Final = "site"  # in ``hosts``: the site's own networks
LOCALHOST: Final = "localhost"  # in ``hosts``: this machine
HOSTS: Final = "hosts"
CLEAR: Final = "clear"
BINDING_KEYS: Final = (HOSTS, CLEAR)

CredentialKeys = Mapping[str, Secret | tuple[str, ...]]
NamedCredentials = Mapping[str, CredentialKeys]
_Stamp = tuple[int, int, int]


class Binding(msgspec.Struct, frozen=True):
    """To whom a credential may go.

    ``hosts``: networks and addresses (whom the connection reached), names and ``*.names`` (whom the plan names, and a
    certificate proved where there is one), ``site``, ``localhost``. None: this machine, and the site's own networks.
    ``clear``: also where somebody in between could read it. Loopback is never in clear: nobody stands in between.
    """

    hosts: tuple[str, ...] | None = None
    clear: bool = False

    @classmethod
    def of(cls, keys: CredentialKeys) -> "Binding":
        """As a file has it. Raises ValueError in words."""
        hosts = keys.get(HOSTS)
        if isinstance(hosts, str):  # one text, with commas
            hosts = tuple(hosts.replace(",", " ").split())
        clear = keys.get(CLEAR, Secret("false"))
        if clear not in ("true", "false"):
            raise ValueError("clear ought to be true or false")
        if hosts is not None:
            if not hosts:
                raise ValueError("hosts names none; leave it out, or name some")
            for rule in hosts:
                _ensure_rule(rule)
        return cls(None if hosts is None else tuple(map(_folded, hosts)), clear == "true")

    def admits(self, to: Destination, site: Callable[[], tuple[Network, ...]]) -> bool:
        """Whether it may go there. ``site``: gives the site's own networks."""
        if self.hosts is None:
            return _is_this_machine(to) or _within(to.address, site())
        if any(_is_there(rule, to, site) for rule in self.hosts):
            return True
        # a plan that has another name proved than it connects to has to be allowed both
        names = (to.host, to.proved or to.host)
        return bool(to.host) and all(any(_named(rule, name) for rule in self.hosts) for name in names)


def _ensure_rule(rule: str) -> None:
    if (network := _network(rule)) is not None and not network.prefixlen:
        raise ValueError(f"hosts: {rule!r} is everybody; name networks, addresses or hosts")
    name = rule.removeprefix("*.")
    if network is None and (
        not name or len(name) > 253 or not all(c.isalnum() or c in "-._" for c in name) or _looks_numeric(name)
    ):
        raise ValueError(f"hosts: {rule[:60]!r} is no host, no *.domain and no network such as 10.20.0.0/16")


def _looks_numeric(name: str) -> bool:
    return name.replace(".", "").isdigit()  # an address that is none


def _network(rule: str) -> Network | None:
    try:
        return ipaddress.ip_network(rule)
    except ValueError:
        return None


def _folded(host: str) -> str:
    return host.casefold().rstrip(".")


def _is_there(rule: str, to: Destination, site: Callable[[], tuple[Network, ...]]) -> bool:
    """By the address that was reached."""
    if (network := _network(rule)) is not None:
        return _within(to.address, (network,))
    if rule == LOCALHOST:
        return _is_this_machine(to)
    return rule == SITE and _within(to.address, site())


def _named(rule: str, host: str) -> bool:
    if rule in (SITE, LOCALHOST):
        return False
    return _folded(host).endswith(rule[1:]) if rule.startswith("*.") else _folded(host) == rule


def _is_this_machine(to: Destination) -> bool:
    return to.address.is_loopback if to.address is not None else not to.host


def _within(address: Address | None, networks: tuple[Network, ...]) -> bool:
    address = getattr(address, "ipv4_mapped", None) or address
    return address is not None and any(address.version == net.version and address in net for net in networks)


class Credentials:
    """The credentials of one agent by name. ``file``: where they are configured, to name it in reasons.

    ``site_networks``: the site's own, beside those that this machine is connected to.
    """

    def __init__(
        self,
        named: NamedCredentials | None = None,
        file: str = sentence("the agent's file"),
        site_networks: tuple[Network, ...] = (),
        connected: Callable[[], tuple[Network, ...]] = connected_networks,
    ) -> None:
        self._named = named or {}
        self._file = file
        self._site_networks = site_networks
        self._connected = connected
        self._bindings = {name: Binding.of(keys) for name, keys in self._named.items()}
        self._read: dict[Path, tuple[_Stamp, Secret]] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._named

    def __call__(self, name: str, to: Destination) -> Mapping[str, Secret]:
        """One credential, files read. Raises ProbeFailed (no evidence) when there is none, a file gives nothing, or it
        may not go there."""
        if why := self.why_not(name, to):
            raise ProbeFailed(why, UNKNOWN)
        credential = {}
        for key, value in self._named[name].items():
            if key in BINDING_KEYS or not isinstance(value, str):
                continue
            if key.endswith(ENDING):
                credential[key.removesuffix(ENDING)] = self._secret_in(Path(value), name)
            else:
                credential[key] = Secret(value)
        return credential

    def why_not(self, name: str, to: Destination) -> Why:
        """Why this credential may not go there, with the line that would allow it; or ""."""
        if name not in self._named:
            return sentence("there is no credential {name} in {file} (credentials:)", name=repr(name), file=self._file)
        binding = self._bindings[name]
        if not binding.admits(to, self._site):
            return self._not_for(name, to, binding)
        if to.exposed and not binding.clear and not _is_this_machine(to):
            return sentence(
                "the credential {name} is not given to {host}: {exposed}; whoever runs this agent may allow it with "
                "clear: true in {file}",
                name=repr(name),
                host=to.host,
                exposed=to.exposed,
                file=self._file,
            )
        return ""

    def _not_for(self, name: str, to: Destination, binding: Binding) -> Why:
        if not to.host:
            return sentence(
                "the credential {name} is not for this machine; whoever runs this agent may allow it with "
                "{line} in {file}",
                name=repr(name),
                line=self.line_for(name, to),
                file=self._file,
            )
        words = (
            sentence("{host} is in none of this site's own networks", host=_shown(to))
            if binding.hosts is None
            else sentence("{host} is none of its hosts", host=_shown(to))
        )
        return sentence(
            "the credential {name} is not given to {host}: {words}; whoever runs this agent may allow it with "
            "{line} in {file}",
            name=repr(name),
            host=to.host,
            words=words,
            line=self.line_for(name, to),
            file=self._file,
        )

    def line_for(self, name: str, to: Destination) -> str:
        """What would have to stand in the agent's file so that it may go there."""
        binding = self._bindings.get(name, Binding())
        names = (to.host, *([to.proved] if to.proved and _folded(to.proved) != _folded(to.host) else []))
        before = (SITE,) if binding.hosts is None and to.host else (binding.hosts or ())
        wanted = names if to.host else (LOCALHOST,)
        return f"hosts: [{', '.join(dict.fromkeys((*before, *wanted)))}]"

    def _site(self) -> tuple[Network, ...]:
        return (*self._site_networks, *self._connected())

    def _secret_in(self, file: Path, name: str) -> Secret:
        try:
            file_stat = file.stat()
            stamp = (file_stat.st_mtime_ns, file_stat.st_size, file_stat.st_ino)
            if file not in self._read or self._read[file][0] != stamp:
                if not stat.S_ISREG(file_stat.st_mode) or file_stat.st_size > LARGEST:
                    raise ProbeFailed(
                        sentence("the credential {name}: {file} is not a small file", name=repr(name), file=file),
                        UNKNOWN,
                    )
                self._read[file] = stamp, Secret(file.read_text("utf-8").rstrip("\r\n"))
        except OSError as error:
            raise ProbeFailed(
                sentence(
                    "the credential {name}: cannot read {file}: {error}",
                    name=repr(name),
                    file=file,
                    error=error.strerror,
                ),
                UNKNOWN,
            ) from None
        except UnicodeDecodeError:
            raise ProbeFailed(
                sentence("the credential {name}: {file} is not UTF-8 text", name=repr(name), file=file), UNKNOWN
            ) from None
        secret = self._read[file][1]
        if not secret:
            raise ProbeFailed(sentence("the credential {name}: {file} is empty", name=repr(name), file=file), UNKNOWN)
        return secret


def _shown(to: Destination) -> str:
    return f"{to.host} ({to.address})" if to.address is not None and str(to.address) != to.host else to.host


def resolve(
    named: NamedCredentials, place: Place
) -> tuple[dict[str, dict[str, Secret | tuple[str, ...]]], list[Problem]]:
    """As written in the file at ``place``, with paths relative to it made whole; and what is wrong."""
    problems, directory = [], Path(place.file).parent
    whole: dict[str, dict[str, Secret | tuple[str, ...]]] = {}
    for name, keys in named.items():
        whole[name] = dict(keys)
        try:
            Binding.of(keys)
        except ValueError as error:
            problems.append(place.problem(f"credentials.{name}", str(error)))
        for key, value in keys.items():
            if not isinstance(value, str):
                continue
            if not key.endswith(ENDING):
                continue
            whole[name][key] = Secret(directory / Path(value).expanduser())
            if (plain := key.removesuffix(ENDING)) in keys:
                problems.append(place.problem(f"credentials.{name}.{key}", f"give {plain} or {key}, not both"))
    return whole, problems


def exposed_files(named: NamedCredentials, file: str) -> Iterator[tuple[Path, str]]:
    """(file, what is wrong) for each file that others may read, or that this user cannot."""
    secrets = [Path(str(value)) for keys in named.values() for key, value in keys.items() if key.endswith(ENDING)]
    plain = ("user", *BINDING_KEYS)
    written_out = any(not key.endswith(ENDING) and key not in plain for keys in named.values() for key in keys)
    for path in dict.fromkeys([*secrets, *([Path(file)] if written_out and file else [])]):
        try:
            mode = path.stat().st_mode
        except OSError as error:
            yield path, f"cannot be read: {error.strerror}"
            continue
        if not os.access(path, os.R_OK):
            yield path, "cannot be read by this user"
        elif os.name == "posix" and mode & stat.S_IROTH:
            yield path, "can be read by everybody on this machine"
