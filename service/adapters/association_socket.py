"""The socket of an association: no PDU (PS3.8 9.3) is longer than agreed, or takes longer."""

import socket
import struct
import time

from pynetdicom.association import Association
from pynetdicom.transport import AssociationSocket

from service.domain.errors import LimitExceededError

HEADER = struct.Struct(">BBL")
ASSOCIATE_RQ = 0x01
KINDS = range(0x01, 0x08)
# Far more than all presentation contexts and their negotiation need.
LONGEST_REQUEST = 1 << 20
# Some senders leave headers of items and PDUs out of the length that was agreed on.
ALLOWANCE = 64
# A-ABORT (PS3.8 9.3.8) by the service provider: invalid PDU parameter value.
ABORT = HEADER.pack(0x07, 0, 4) + bytes([0, 0, 2, 6])
PIECE = 65536


def connection_of(association: Association) -> socket.socket | None:
    """Return the connection of an association, None if it is over."""
    transport = association.dul.socket
    return None if transport is None else transport.socket


class GuardedSocket(AssociationSocket):
    """Reads PDUs of which each must be there in time; the library would wait without end.

    Between PDUs anybody may be silent as long as the library's own timers allow. A TLS handshake
    that is not over yet counts as part of the first PDU.

    Parameters
    ----------
    association : Association
    connection : socket.socket
        An accepted one.
    timeout_s : float
        From the first byte of a PDU to its last one; also for a write.
    longest_pdu : int
        In bytes, without the header.
    """

    def __init__(
        self,
        association: Association,
        connection: socket.socket,
        *,
        timeout_s: float,
        longest_pdu: int,
    ) -> None:
        super().__init__(association, connection)
        self._timeout_s = timeout_s
        self._longest_pdu = longest_pdu + ALLOWANCE
        self._deadline = 0.0
        self._in_body = False

    def recv(self, nr_bytes: int) -> bytearray:
        """Read so many bytes, fewer if the connection ends: a header, or what it announced.

        Raises
        ------
        OSError
            If they do not come in time, or are more than allowed. The library then closes.
        """
        if self._in_body:
            self._in_body = False
            return self._read(nr_bytes)
        self._deadline = time.monotonic() + self._timeout_s
        # The silence ends with the first byte; the library would count on to the last one.
        self.assoc.dul._idle_timer.restart()  # noqa: SLF001 - there is no other way to it
        header = self._read(nr_bytes)
        if len(header) == HEADER.size:
            self._look_at(header)
        return header

    def send(self, bytestream: bytes) -> None:
        """Write; whoever does not read in time loses the connection."""
        if self.socket is not None:
            self.socket.settimeout(self._timeout_s)
        super().send(bytestream)

    def _read(self, wanted: int) -> bytearray:
        read = bytearray()
        connection = self.socket
        while connection is not None and len(read) < wanted:
            left = self._deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("a PDU did not end in time")
            connection.settimeout(left)
            piece = connection.recv(min(wanted - len(read), PIECE))
            if not piece:
                break
            read += piece
        return read

    def _look_at(self, header: bytearray) -> None:
        kind, _, length = HEADER.unpack(header)
        # The library reads no body of any other kind.
        self._in_body = kind in KINDS
        longest = LONGEST_REQUEST if kind == ASSOCIATE_RQ else self._longest_pdu
        if self._in_body and length > longest:
            # By the library's own way it would go on to read what is refused here.
            self.send(ABORT)
            raise OSError(LimitExceededError.code)
