"""What a worker is made of, whatever it analyses with."""

import os
from collections.abc import Callable

import structlog

from service.adapters.celery_queue import work
from service.adapters.heartbeat import beat
from service.application.ports import CanaryAnswer, StudyAnalysis
from service.application.run_job import JobRunner
from service.application.watch_consumer import ConsumerWatch
from service.bootstrap.gateway import Gateway, utc_now
from service.bootstrap.recovery import RecoveryLoop
from service.domain.errors import ThrombolensError
from service.domain.job import Failure
from service.settings import Settings

_log = structlog.get_logger(__name__)

# sysexits.h: an internal software error. Whoever started the worker starts another one.
ABANDONED = 70


def run_jobs(settings: Settings, analyse: StudyAnalysis, probe: Callable[[], str]) -> None:
    """Take jobs in this process until told to stop.

    Parameters
    ----------
    analyse : StudyAnalysis
        The clinical path.
    probe : callable
        Runs a tiny inference and returns the name of the execution provider.
    """
    gateway = Gateway(settings)
    runner = JobRunner(
        store=gateway.database,
        files=gateway.folders,
        analyse=analyse,
        clock=utc_now,
        limits=gateway.limits,
        abandon=_abandon,
    )

    watch = ConsumerWatch(
        gateway.database, utc_now, settings.ring_again_seconds, gateway.queue.broker_answers
    )

    def run_job(job_id: str) -> None:
        with watch.busy():
            runner.run(job_id)

    def run_canary(canary_id: str) -> None:
        with watch.busy():
            gateway.database.answer_canary(canary_id, _probed(probe), utc_now())

    def look_after() -> None:
        gateway.recover()
        if watch.is_deaf():
            _abandon()
        if watch.can_hear:
            beat(settings.heartbeat_file)

    with RecoveryLoop(look_after, settings.recovery_interval_seconds):
        _log.info("worker_started", pid=os.getpid())
        work(gateway.celery, run_job, run_canary)
    gateway.close()


def _probed(probe: Callable[[], str]) -> CanaryAnswer:
    try:
        return CanaryAnswer(execution_provider=probe(), failure_code=None)
    except ThrombolensError as exc:
        return CanaryAnswer(execution_provider=None, failure_code=Failure.of(exc).code)


def _abandon() -> None:
    """End this process at once: it hangs, in native code or in its connection to the broker."""
    _log.critical("worker_abandoned", pid=os.getpid())
    os._exit(ABANDONED)
