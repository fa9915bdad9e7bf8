"""The doorbell of the workers, by Celery.

A message is only a job's identifier. A lost one is sent again by the recovery, one too many finds
a job that does not wait any more; so no result backend and no trust in acknowledgements.
"""

import uuid
from collections.abc import Callable
from pathlib import Path

from celery import Celery
from celery.signals import setup_logging
from kombu import Connection
from kombu.exceptions import OperationalError

from service.adapters import file_broker
from service.domain.errors import BrokerUnavailableError, ConfigurationError

QUEUE = "thrombolens"
RUN_JOB = "thrombolens.run_job"
RUN_CANARY = "thrombolens.run_canary"
CONNECT_TIMEOUT_S = 3.0


@setup_logging.connect
def leave_logs_alone(**_: object) -> None:
    """Keep Celery from changing the log, which is set up: it would let only warnings out."""


def make_celery(
    broker_url: str | None, *, broker_dir: Path, polling_seconds: float, visibility_seconds: float
) -> Celery:
    """Return the Celery application of API and workers.

    Parameters
    ----------
    broker_url : str or None
        Redis or any other broker of Celery; None for files under ``broker_dir``.
    polling_seconds : float
        How often a worker looks into that folder.
    visibility_seconds : float
        After this time Redis hands a message that was not acknowledged to another worker.
        Much longer than a job may take; leases make an early one harmless.

    Raises
    ------
    ConfigurationError
        If no such kind of broker is known.
    """
    if broker_url is not None:
        _check_transport(broker_url)
    app = Celery("thrombolens")
    app.conf.update(
        task_default_queue=QUEUE,
        task_ignore_result=True,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        # A job that failed is in the database; its message must not come again.
        task_acks_on_failure_or_timeout=True,
        worker_prefetch_multiplier=1,
        # One study at a time in one process. A forked pool would inherit ONNX Runtime's threads
        # and, on a GPU, a CUDA context that does not survive the fork.
        worker_pool="solo",
        worker_redirect_stdouts=False,
        worker_enable_remote_control=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_retry_on_startup=True,
        broker_connection_timeout=CONNECT_TIMEOUT_S,
        broker_connection_max_retries=None,
        task_publish_retry=False,
    )
    if broker_url is None:
        app.conf.update(
            broker_url="files",
            broker_transport=file_broker.TRANSPORT,
            broker_transport_options=file_broker.broker_options(broker_dir, polling_seconds),
        )
    else:
        app.conf.update(
            broker_url=broker_url,
            broker_transport_options={
                "visibility_timeout": visibility_seconds,
                "socket_keepalive": True,
                "socket_connect_timeout": CONNECT_TIMEOUT_S,
                "health_check_interval": 30,
            },
        )
    return app


def _check_transport(broker_url: str) -> None:
    try:
        Connection(broker_url).get_transport_cls()
    except KeyError as exc:
        raise ConfigurationError("the broker's address is of no kind that is known") from exc


class CeleryQueue:
    """Rings for jobs and canaries; implements ``JobQueue``."""

    def __init__(self, app: Celery) -> None:
        self._app = app

    def ring(self, job_id: str) -> None:
        """Tell a worker that a job waits; see ``JobQueue.ring``."""
        self._send(RUN_JOB, job_id, expires=None)

    def ring_canary(self, canary_id: str, expires_s: float) -> None:
        """Ask any worker for a tiny inference, within some seconds.

        Raises
        ------
        BrokerUnavailableError
            If the broker cannot be reached.
        """
        self._send(RUN_CANARY, canary_id, expires=expires_s)

    def broker_answers(self) -> bool:
        """Whether the broker can be reached now."""
        try:
            with self._app.connection_for_write() as connection:
                connection.ensure_connection(max_retries=1, timeout=CONNECT_TIMEOUT_S)
        except (OperationalError, OSError):
            return False
        return True

    def _send(self, task: str, argument: str, expires: float | None) -> None:
        try:
            self._app.send_task(task, (argument,), expires=expires)
        except (OperationalError, OSError) as exc:
            raise BrokerUnavailableError("the message broker cannot be reached") from exc


def work(app: Celery, run_job: Callable[[str], None], run_canary: Callable[[str], None]) -> None:
    """Take messages in this process until it is told to stop."""
    app.task(name=RUN_JOB)(run_job)
    app.task(name=RUN_CANARY)(run_canary)
    worker = app.Worker(
        hostname=f"thrombolens-{uuid.uuid4().hex[:8]}@%h",
        without_gossip=True,
        without_mingle=True,
        quiet=True,
    )
    worker.start()
