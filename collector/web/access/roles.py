"""What one may do: each right includes those before it. People have a role, programs a token's scope."""

from typing import Final, Literal

import msgspec
from aiohttp import web

from collector.config import Role, Scope

Access = Literal["public", "metrics", "viewer", "operator", "admin"]
By = Literal["nothing", "open", "session", "password", "proxy", "token"]

_ORDER: Final[tuple[Access, ...]] = ("public", "metrics", "viewer", "operator", "admin")
OF_ROLE: Final[dict[Role, Access]] = {"viewer": "viewer", "operator": "operator", "admin": "admin"}
OF_SCOPE: Final[dict[Scope, Access]] = {"metrics": "metrics", "read": "viewer", "write": "operator"}


class Principal(msgspec.Struct, frozen=True):
    """Who asks."""

    name: str  # "" of a stranger
    access: Access
    by: By  # how it was proven
    form_token: str = ""  # what the forms of this one's pages carry

    def may(self, needs: Access) -> bool:
        """Whether this one may do what needs so much."""
        return _ORDER.index(self.access) >= _ORDER.index(needs)


STRANGER: Final = Principal("", "public", "nothing")
PRINCIPAL: Final = web.RequestKey("principal", Principal)  # as the guard found out
