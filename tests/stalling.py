"""Peers that stop in the middle of what they say, or go on byte by byte."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

# A P-DATA-TF and an A-ASSOCIATE-AC (PS3.8 9.3.5, 9.3.3) that promise far more than comes.
HALF_DATA = b"\x04\x00\x00\x00\x10\x00ab"
HALF_ACCEPT = b"\x02\x00\x00\x00\x10\x00\x00\x01"


class Stalling:
    """Sends half of something, then nothing or a byte from time to time, until told to end."""

    def __init__(self, begun: bytes, drips: bytes = b"") -> None:
        self._begun = begun
        self._drips = drips
        self.ended = threading.Event()

    def __call__(self, connection: socket.socket) -> None:
        with suppress(OSError):
            connection.sendall(self._begun)
            while not self.ended.wait(0.05):
                connection.sendall(self._drips)

    @contextmanager
    def serving(self) -> Iterator[int]:
        """Accept connections and stall at once; yield the port."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.settimeout(0.05)
            thread = threading.Thread(target=self._accept, args=(listener,))
            thread.start()
            try:
                yield listener.getsockname()[1]
            finally:
                self.ended.set()
                thread.join()

    def _accept(self, listener: socket.socket) -> None:
        while not self.ended.is_set():
            with suppress(TimeoutError):
                connection, _ = listener.accept()
                with connection:
                    self(connection)
