"""Notice a worker that lives, but does not get its messages any more.

After a broken connection to Redis a Celery worker may reconnect and yet consume nothing. It renews
no lease, for it runs no job; it just never works again. It can tell by itself: jobs wait, the bell
was rung for them several times, the broker answered and it had nothing to do all the while. Rings
while the broker could not be reached were heard by nobody, and say nothing about this worker.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from service.application.ports import Clock, JobStore
from service.domain.job import JobState

# So many rings that nobody heard are no chance.
UNHEARD_RINGS = 4


class ConsumerWatch:
    """Remembers when this worker last had something to do.

    Parameters
    ----------
    ring_again_seconds : float
        How often the bell is rung for a job that waits.
    broker_answers : callable
        Whether the broker can be reached now; asked each time while the worker is idle.
    """

    def __init__(
        self,
        store: JobStore,
        clock: Clock,
        ring_again_seconds: float,
        broker_answers: Callable[[], bool],
    ) -> None:
        self._store = store
        self._clock = clock
        self._patience = timedelta(seconds=UNHEARD_RINGS * ring_again_seconds)
        self._broker_answers = broker_answers
        self._busy = False
        self._idle_since = clock()
        self._broker_lost_at = self._idle_since
        self._broker_there = False

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Surround whatever a message makes this worker do."""
        self._busy = True
        try:
            yield
        finally:
            self._idle_since = self._clock()
            self._busy = False

    @property
    def can_hear(self) -> bool:
        """Whether this worker is busy, or could reach the broker when ``is_deaf`` last asked."""
        return self._busy or self._broker_there

    def is_deaf(self) -> bool:
        """Whether this worker should have had a message for long.

        Ask often: an outage of the broker is noticed only by asking while it lasts.

        Raises
        ------
        JobDatabaseError
            If the database cannot be reached.
        """
        if self._busy:
            return False
        self._broker_there = self._broker_answers()
        if not self._broker_there:
            self._broker_lost_at = self._clock()
            return False
        able_since = max(self._idle_since, self._broker_lost_at)
        if self._clock() - able_since < self._patience:
            return False
        unheard = any(
            self._clock() - job.transitions[-1].at >= self._patience
            for job in self._store.unfinished()
            if job.state is JobState.QUEUED
        )
        return unheard and not self._busy
