"""Limits for what pynetdicom waits for without one: the rest of a PDU that has begun."""

import threading

from pynetdicom import evt
from pynetdicom.association import Association

from service.adapters.shut_connections import shut


class ConnectionLimits:
    """Ends connections whose peer stops in the middle of a PDU, or goes on too slowly.

    Parameters
    ----------
    silent_s : float
        Longest wait for the next byte, or for room to send one.
    whole_s : float
        A connection is shut after this time, whatever still comes: a peer that sends a byte from
        time to time is never silent.
    """

    def __init__(self, silent_s: float, whole_s: float) -> None:
        self._silent_s = silent_s
        self._whole_s = whole_s
        self._timers: dict[Association, threading.Timer] = {}

    @property
    def handlers(self) -> list[evt.EventHandlerType]:
        """What must be bound where associations are opened."""
        return [(evt.EVT_CONN_OPEN, self._opened), (evt.EVT_CONN_CLOSE, self._closed)]

    def _opened(self, event: evt.Event) -> None:
        transport = event.assoc.dul.socket
        connection = None if transport is None else transport.socket
        if connection is None:
            return
        connection.settimeout(self._silent_s)
        timer = threading.Timer(self._whole_s, shut, [connection])
        timer.daemon = True
        self._timers[event.assoc] = timer
        timer.start()

    def _closed(self, event: evt.Event) -> None:
        timer = self._timers.pop(event.assoc, None)
        if timer is not None:
            timer.cancel()
