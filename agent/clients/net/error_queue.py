"""Linux's error queue of a socket: the numbers that the socket module of Python 3.11 has no names for."""

import socket
from typing import Final

MSG_ERRQUEUE: Final = 0x2000
RECVERR: Final = {4: (socket.IPPROTO_IP, 11), 6: (socket.IPPROTO_IPV6, 25)}  # the option that switches it on, by family
