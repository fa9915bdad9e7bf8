"""DIMSE messages while they arrive (PS3.8 annex E), with a disk that may be full at any moment."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Self, cast

import structlog
from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_messages import C_STORE_RQ
from pynetdicom.pdu_primitives import P_DATA

from service.domain.errors import LimitExceededError

_log = structlog.get_logger(__name__)

# Bits of the message control header (PS3.8 E.2).
COMMAND = 0x01
# Whatever is no object to store is kept in memory; 20,000 references take some 3 MB.
LONGEST_IN_MEMORY = 16 << 20
# Invalid PDU (PS3.8 9.2.1): the library aborts the association.
INVALID_PDU = "Evt19"


class Discarded:
    """Takes the place of a file that the disk did not take: the rest of its object is let go."""

    name = ""

    @property
    def file(self) -> Self:
        """What the library flushes."""
        return self

    def write(self, data: bytes) -> int:
        """Let go of this."""
        return len(data)

    def flush(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class ArrivingMessages(DIMSEServiceProvider):
    """Puts messages together as the library does, and ends no thread by what may go wrong.

    An object that the disk does not take is read to its end, so that its sender can be told; a
    message that cannot be understood ends its association.

    Parameters
    ----------
    association : Association
    has_room : callable
        Whether the disk has room; asked with every piece of an object.
    max_bytes : int
        An object that becomes larger ends its association.
    """

    def __init__(
        self, association: Association, has_room: Callable[[], bool], max_bytes: int
    ) -> None:
        super().__init__(association)
        self._has_room = has_room
        self._max_bytes = max_bytes
        self._bytes = 0
        self._paths: set[Path] = set()

    def receive_primitive(self, primitive: P_DATA) -> None:
        """Take the pieces of one PDU."""
        for context_id, value in primitive.presentation_data_value_list:
            piece = P_DATA()
            piece.presentation_data_value_list.append((context_id, value))
            try:
                self._count(len(value))
                self._take(piece, is_command=bool(value[0] & COMMAND))
            except LimitExceededError as exc:
                _log.warning("association_aborted", code=exc.code)
            except Exception:  # noqa: BLE001 - it is logged, and the association ended
                # Whatever the library finds wrong with a message.
                _log.exception("association_aborted", reason="a message cannot be understood")
            else:
                continue
            self._close_file()
            self.message = None
            self.dul.event_queue.put(INVALID_PDU)
            return

    def discard(self) -> None:
        """Delete what was left half, or whole but was not looked at any more."""
        self._close_file()
        for path in self._paths:
            with suppress(OSError):
                path.unlink(missing_ok=True)

    def _count(self, size: int) -> None:
        self._bytes = size if self.message is None else self._bytes + size
        most = self._max_bytes if self._is_stored() else LONGEST_IN_MEMORY
        if self._bytes > most:
            raise LimitExceededError(f"a message has more than {most} bytes")

    def _take(self, piece: P_DATA, *, is_command: bool) -> None:
        if not is_command and self._is_stored() and not self._has_room():
            self._give_up()
        try:
            super().receive_primitive(piece)
        except OSError:
            if not self._is_stored():
                raise
            self._give_up()
            if not is_command:
                super().receive_primitive(piece)
        finally:
            self._note_file()

    def _is_stored(self) -> bool:
        """Whether what arrives goes to disk."""
        return isinstance(self.message, C_STORE_RQ)

    def _file(self) -> Any:  # noqa: ANN401 - the library's, or what takes its place
        message = self.message
        return None if message is None else message._data_set_file  # noqa: SLF001 - nothing else tells

    def _note_file(self) -> None:
        """Remember which files are not done with."""
        file = self._file()
        if file is not None and file.name and Path(file.name) not in self._paths:
            self._paths = {path for path in self._paths if path.exists()} | {Path(file.name)}

    def _close_file(self) -> None:
        file = self._file()
        if file is not None:
            # What is still to be written may find no room.
            with suppress(OSError):
                file.close()

    def _give_up(self) -> None:
        """Let go of the object that arrives, and of what follows of it."""
        self._note_file()
        self._close_file()
        file = self._file()
        if file is not None and file.name:
            Path(file.name).unlink(missing_ok=True)
        message = cast("Any", self.message)
        message._data_set_file = Discarded()  # noqa: SLF001 - nothing else lets an object go
        message._data_set_path = None  # noqa: SLF001 - as above
