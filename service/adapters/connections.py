"""Which connections stand: of senders that were let in, and of others."""

import socket
import threading

from service.adapters.shut_connections import shut


class Connections:
    """Two rooms, so that whoever only reaches the port takes nothing from those who may send.

    Parameters
    ----------
    most_let_in : int
        Associations of known senders at the same time.
    most_waiting : int
        Connections that were not let in, or not yet; beyond that the oldest one is closed.
    """

    def __init__(self, most_let_in: int, most_waiting: int) -> None:
        self._most_let_in = most_let_in
        self._most_waiting = most_waiting
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._let_in: set[socket.socket] = set()
        # In order of coming.
        self._waiting: dict[socket.socket, None] = {}

    def come(self, connection: socket.socket) -> None:
        """Note a new connection."""
        with self._lock:
            self._waiting[connection] = None
            if len(self._waiting) > self._most_waiting:
                oldest = next(iter(self._waiting))
                del self._waiting[oldest]
                shut(oldest)

    def let_in(self, connection: socket.socket | None) -> bool:
        """Give a known sender its place; say whether there is one."""
        with self._lock:
            if (
                connection is None
                or connection not in self._waiting
                or len(self._let_in) >= self._most_let_in
            ):
                return False
            del self._waiting[connection]
            self._let_in.add(connection)
            return True

    def shut_all(self, within_s: float) -> None:
        """End all connections, and wait until they are over, but no longer than this."""
        with self._lock:
            for connection in (*self._waiting, *self._let_in):
                shut(connection)
            self._changed.wait_for(lambda: not (self._waiting or self._let_in), within_s)

    def go(self, connection: socket.socket) -> None:
        """Note that a connection is over."""
        with self._lock:
            self._waiting.pop(connection, None)
            self._let_in.discard(connection)
            self._changed.notify_all()
