"""aiohttp without br and zstd: our own link speaks neither, and aiohttp would load their libraries into every agent
(0.8 MiB) and ask collectors for them, only because the kind ``http`` may need them one day."""

import sys
from typing import Final

_UNWANTED: Final = ("brotli", "brotlicffi", "backports.zstd", "compression.zstd")

_hidden = [name for name in _UNWANTED if name not in sys.modules]
for _name in _hidden:
    sys.modules[_name] = None  # type: ignore[assignment]  # Python takes it for a module that is not there
try:
    import aiohttp as aiohttp
finally:
    for _name in _hidden:
        sys.modules.pop(_name, None)
