"""Accepts connections for associations, and looks after each until its threads have ended."""

import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from socketserver import BaseServer
from typing import Any, cast

import structlog
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.transport import RequestHandler, ThreadedAssociationServer

from service.adapters.arriving_messages import ArrivingMessages
from service.adapters.association_socket import GuardedSocket
from service.adapters.connections import Connections

_log = structlog.get_logger(__name__)

# Connections that were not let in, or not yet, at the same time.
MOST_WAITING = 64
# Seconds of silence before a peer is asked whether it is there, and between questions.
KEEPALIVE_S = 30
KEEPALIVE_QUESTIONS = 4
# A-ASSOCIATE-RJ (PS3.8 9.3.4): transient, by the service provider (presentation), local limit
# exceeded.
NO_ROOM = (0x02, 0x03, 0x02)
# How often a thread that has not started is looked at.
LOOK_S = 1.0
# What is being received when the server ends may take so long.
ENDING_S = 5.0


def reject(association: Association, reason: tuple[int, int, int]) -> None:
    """Reject an association that was asked for."""
    association.acse.send_reject(*reason)
    association.kill()


@dataclass(frozen=True)
class Bounds:
    """What all associations together, and each of them, may take up.

    Attributes
    ----------
    has_room : callable
        Whether the disk has room for what arrives.
    max_object_bytes : int
        An association on which one object becomes larger is aborted.
    """

    connections: Connections
    has_room: Callable[[], bool]
    max_object_bytes: int


class AssociationThreads(RequestHandler):
    """Runs the threads of one association, and tidies up when they have ended, however that was."""

    server: "GuardedServer"

    def handle(self) -> None:
        """Run an association to its end."""
        association = self._create_association()
        bounds = self.server.bounds
        messages = ArrivingMessages(association, bounds.has_room, bounds.max_object_bytes)
        association.dimse = messages
        try:
            evt.trigger(association, evt.EVT_CONN_OPEN, {"address": self.client_address})
            association.start()
            if not _is_running(association):
                return
            association.dul.join()
            # The connection is over; whoever waits for a request on it is told, as at a time-out.
            cast("Any", association.dul.to_user_queue).put(None)
            association.join()
        finally:
            messages.discard()
            self.server.shutdown_request(self.request)

    def _create_association(self) -> Association:
        association = super()._create_association()
        # The library made a socket, which told of the connection; ours tells it again.
        association.dul.event_queue.get_nowait()
        ae = self.ae
        association.dul.socket = GuardedSocket(
            association,
            self.request,
            timeout_s=float(ae.network_timeout or 0),
            longest_pdu=ae.maximum_pdu_size,
        )
        return association


def _is_running(association: Association) -> bool:
    """Wait until the thread that reads has started; False if the system has no more threads."""
    ready = association._dul_ready  # noqa: SLF001 - a thread that did not start cannot be joined
    while not ready.wait(LOOK_S):
        if not association.is_alive():
            return False
    return True


class GuardedServer(ThreadedAssociationServer):
    """The library's server, with room for those who may send whoever else connects.

    Parameters
    ----------
    ae : AE
    place : tuple of str and int
        Host and port.
    bounds : Bounds

    Raises
    ------
    OSError
        If the port cannot be had.
    """

    # Each connection has a thread that lasts as long; the end of the server does not wait for it.
    daemon_threads = True

    def __init__(
        self,
        ae: AE,
        place: tuple[str, int],
        *,
        bounds: Bounds,
        tls: ssl.SSLContext | None,
        handlers: list[evt.EventHandlerType],
    ) -> None:
        self.bounds = bounds
        super().__init__(
            ae,
            place,
            ae.ae_title,
            ae.supported_contexts,
            tls,
            evt_handlers=handlers,
            request_handler=AssociationThreads,
        )

    def start(self) -> None:
        """Accept connections, in a thread."""
        threading.Thread(target=self.serve_forever, name="listener", daemon=True).start()

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection; the system will notice if its peer is gone."""
        connection, address = super().get_request()
        # One that has gone already may refuse them.
        with suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if hasattr(socket, "TCP_KEEPIDLE"):
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_S)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_S)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVE_QUESTIONS)
        return connection, address

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - as inherited
        """Begin an association, in a thread."""
        self.bounds.connections.come(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:  # noqa: ANN401 - as inherited
        """End a connection."""
        self.bounds.connections.go(request)
        super().shutdown_request(request)

    def handle_error(self, _request: object, _address: object) -> None:
        """Log what went wrong with a connection; the library would print it."""
        _log.exception("connection_crashed")

    def shutdown(self) -> None:
        """Stop accepting connections, and end those that stand."""
        BaseServer.shutdown(self)
        self.server_close()
        self.bounds.connections.shut_all(ENDING_S)
