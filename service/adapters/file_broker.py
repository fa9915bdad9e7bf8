"""A Celery message transport over files, for the embedded mode: no server to install.

Kombu's own filesystem transport writes a message under its final name, so that a reader may meet
half of it; the worker then ends with an error. Here a message appears by one rename and is taken
by one rename. Delivery is at most once, which is enough for a doorbell.
"""

import time
import uuid
from pathlib import Path
from queue import Empty
from typing import Any

from kombu.transport import filesystem
from kombu.utils.json import dumps, loads

# What Celery's setting `broker_transport` takes.
TRANSPORT = f"{__name__}:Transport"


class Channel(filesystem.Channel):
    """Sends and takes one file a message in the folder ``data_folder_in``."""

    def _put(self, queue: str, payload: dict[str, Any], **_: object) -> None:
        folder = Path(self.data_folder_out)
        # Zero-padded, so that the oldest comes first by name.
        name = f"{time.time_ns():020d}_{uuid.uuid4().hex}"
        unfinished = folder / f"{name}.unfinished"
        unfinished.write_text(dumps(payload), encoding="utf-8")
        unfinished.rename(folder / f"{name}.{queue}.msg")

    def _get(self, queue: str) -> dict[str, Any]:
        ending = f".{queue}.msg"
        folder = Path(self.data_folder_in)
        for message in sorted(path for path in folder.iterdir() if path.name.endswith(ending)):
            taken = message.with_suffix(".taken")
            try:
                message.rename(taken)
            except FileNotFoundError:
                continue  # another worker was faster
            payload: dict[str, Any] = loads(taken.read_text(encoding="utf-8"))
            taken.unlink()
            return payload
        raise Empty


class Transport(filesystem.Transport):
    """What Celery is given as the scheme of the broker's address."""

    Channel = Channel


def broker_options(folder: Path, polling_interval_s: float) -> dict[str, Any]:
    """Return transport options for messages in a folder, which is created if needed."""
    messages = folder / "messages"
    messages.mkdir(parents=True, exist_ok=True)
    return {
        "data_folder_in": str(messages),
        "data_folder_out": str(messages),
        "control_folder": str(folder / "control"),
        "polling_interval": polling_interval_s,
    }
