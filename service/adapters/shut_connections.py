"""End a connection that another thread waits for."""

import socket
from contextlib import suppress


def shut(connection: socket.socket) -> None:
    """Make whoever reads or writes find the end; the connection may have ended before."""
    with suppress(OSError):
        # Not the method of an SSLSocket: it takes the session away from the thread that reads.
        socket.socket.shutdown(connection, socket.SHUT_RDWR)
