"""Does a worker analyse studies? Asked by a tiny inference that goes the way of a job."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from service.application.ports import CanaryAnswer, CanaryQueue, CanaryStore, Clock, JobStore
from service.domain.errors import NoWorkerError

POLL_S = 0.05


class Evidence(StrEnum):
    """Why the service is taken to be ready."""

    INFERENCE = "inference"
    RUNNING_JOB = "running_job"


@dataclass(frozen=True)
class Readiness:
    """Ready, and how that is known; the provider is known from an inference only."""

    evidence: Evidence
    execution_provider: str | None
    checked_at: datetime


class CanaryKeeper(CanaryStore, JobStore, Protocol):
    """Canaries and jobs, in one database."""


def check_readiness(
    store: CanaryKeeper,
    queue: CanaryQueue,
    clock: Clock,
    wait: Callable[[float], None],
    timeout_s: float,
) -> Readiness:
    """Ask for an inference and wait for the answer.

    A worker does one thing at a time: if none answers because all are busy, a job under a lease
    that was renewed in time is the sign of life.

    Parameters
    ----------
    wait : callable
        Waits for some seconds.

    Raises
    ------
    NoWorkerError
        If nobody answered and nobody works, or the inference failed.
    BrokerUnavailableError, JobDatabaseError
        If these cannot be reached.
    """
    canary_id = uuid.uuid4().hex
    asked = clock()
    store.ask_canary(canary_id, asked)
    queue.ring_canary(canary_id, timeout_s)
    while (answer := store.canary_answer(canary_id)) is None:
        if clock() - asked >= timedelta(seconds=timeout_s):
            return _busy(store, clock(), timeout_s)
        wait(POLL_S)
    return _read(answer, clock())


def _read(answer: CanaryAnswer, now: datetime) -> Readiness:
    if answer.failure_code is not None:
        raise NoWorkerError(f"a worker's test inference failed with {answer.failure_code}")
    return Readiness(Evidence.INFERENCE, answer.execution_provider, now)


def _busy(store: JobStore, now: datetime, timeout_s: float) -> Readiness:
    if any(job.lease and job.lease.expires_at > now for job in store.unfinished()):
        return Readiness(Evidence.RUNNING_JOB, None, now)
    raise NoWorkerError(f"no worker answered within {timeout_s:g} s, and none runs a job")
