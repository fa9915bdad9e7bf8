"""Who asks for storage commitment, and what it is told."""

import queue
from collections.abc import Sequence

from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
)

from tests.processes import wait_until

Told = tuple[int, list[str], dict[str, int]]


class Asker:
    """Asks for storage commitment and keeps what is reported."""

    def __init__(self) -> None:
        self.reports: queue.Queue[Told] = queue.Queue()

    def keep(self, event: evt.Event) -> tuple[int, None]:
        report = event.event_information
        held = [str(i.ReferencedSOPInstanceUID) for i in report.get("ReferencedSOPSequence", [])]
        failed = {
            str(i.ReferencedSOPInstanceUID): int(i.FailureReason)
            for i in report.get("FailedSOPSequence", [])
        }
        self.reports.put((event.event_type or 0, held, failed))
        return 0x0000, None

    @property
    def handlers(self) -> list[evt.EventHandlerType]:
        return [(evt.EVT_N_EVENT_REPORT, self.keep)]

    def ask(self, port: int, instances: Sequence[Dataset], *, wait: bool) -> int:
        """Ask about instances; on this association wait for the report, or hang up at once."""
        ae = AE("MR1")
        ae.add_requested_context(StorageCommitmentPushModel)
        association = ae.associate(
            "127.0.0.1", port, ae_title="THROMBOLENS", evt_handlers=self.handlers
        )
        status = _action(association, instances)
        if wait:
            wait_until(lambda: not self.reports.empty(), 20, "a report comes")
        association.release()
        return status


def _action(association: Association, instances: Sequence[Dataset]) -> int:
    request = Dataset()
    request.TransactionUID = "2.25.77"
    request.ReferencedSOPSequence = []
    for each in instances:
        item = Dataset()
        item.ReferencedSOPClassUID = each.SOPClassUID
        item.ReferencedSOPInstanceUID = each.SOPInstanceUID
        request.ReferencedSOPSequence.append(item)
    answer, _ = association.send_n_action(
        request, 1, StorageCommitmentPushModel, StorageCommitmentPushModelInstance
    )
    return int(answer.Status)
