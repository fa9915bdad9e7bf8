"""The JSON report to a web service, signed with HMAC-SHA256; see docs/deliveries.md."""

import hashlib
import hmac
import time
from collections.abc import Callable

from service.adapters.destination_entries import HttpAccess, WebhookEntry
from service.adapters.destination_files import read_secret
from service.adapters.http_peers import HttpPeer
from service.application.ports import Parcel, ResultObject
from service.domain.delivery import Answer, ObjectState

TIMESTAMP = "X-Thrombolens-Timestamp"
SIGNATURE = "X-Thrombolens-Signature"
DELIVERY = "X-Thrombolens-Delivery"
JOB = "X-Thrombolens-Job"


def signature(key: bytes, timestamp: str, body: bytes) -> str:
    """Return what proves that the body is ours and how old it is."""
    signed = timestamp.encode("ascii") + b"." + body
    return f"sha256={hmac.new(key, signed, hashlib.sha256).hexdigest()}"


class WebhookSender:
    """Posts the report; implements ``ResultSender``.

    Parameters
    ----------
    now : callable
        Seconds since 1970, for the timestamp.
    """

    def __init__(self, entry: WebhookEntry, now: Callable[[], float] = time.time) -> None:
        self._url = entry.url
        self._key = read_secret(entry.hmac_key_file).encode()
        self._peer = HttpPeer(HttpAccess(ca_file=entry.ca_file), entry.timeout_seconds)
        self._now = now

    def send(self, parcel: Parcel) -> tuple[Answer, ...]:
        """Post each object; any status of success means that it was taken."""
        return tuple(self._post(parcel, each) for each in parcel.objects)

    def _post(self, parcel: Parcel, each: ResultObject) -> Answer:
        timestamp = str(int(self._now()))
        headers = {
            "Content-Type": "application/json",
            TIMESTAMP: timestamp,
            SIGNATURE: signature(self._key, timestamp, each.content),
            DELIVERY: parcel.delivery_id,
            JOB: parcel.job_id,
        }
        status, _ = self._peer.ask("POST", self._url, headers=headers, content=each.content)
        taken = 200 <= status < 300
        return Answer(
            each.kind, ObjectState.ACCEPTED if taken else ObjectState.REFUSED, f"HTTP {status}"
        )
