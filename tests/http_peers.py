"""A real HTTP server on loopback that answers as a script says."""

import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from io import BytesIO
from typing import Any

import pydicom
import uvicorn
from fastapi import FastAPI, Request, Response

DICOM_JSON = "application/dicom+json"
Script = Callable[["Received"], Response]


@dataclass(frozen=True)
class Received:
    """One request as it came."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    def instances(self) -> list[pydicom.Dataset]:
        """Return the instances of a store request, taken apart by another parser than ours."""
        head = f"Content-Type: {self.headers['content-type']}\r\n\r\n".encode()
        parts: Any = message_from_bytes(head + self.body).get_payload()
        return [pydicom.dcmread(BytesIO(part.get_payload(decode=True))) for part in parts]

    def uids(self) -> list[str]:
        """Return the SOP Instance UIDs of a store request."""
        return [str(each.SOPInstanceUID) for each in self.instances()]


@dataclass
class HttpServer:
    """Remembers requests and answers by the script."""

    script: Script
    received: list[Received] = field(default_factory=list)

    @contextmanager
    def serving(self) -> Iterator[str]:
        """Serve from a thread; yield the address."""
        app = FastAPI()

        @app.api_route("/{path:path}", methods=["GET", "POST"])
        async def answer(path: str, request: Request) -> Response:
            came = Received(
                request.method,
                f"/{path}",
                dict(request.query_params),
                dict(request.headers),
                await request.body(),
            )
            self.received.append(came)
            return self.script(came)

        listener = socket.create_server(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
            listener.close()
