"""The job database against a plain model, under any order of changes by several processes."""

import itertools
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from service.adapters.job_database import JobDatabase
from service.domain.errors import ThrombolensError, UnknownJobError
from service.domain.job import Failure, Job, JobState, Lease, Outcome

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
TOKENS = st.sampled_from(["t1", "t2"])
STATES = st.sampled_from(JobState)


class JobStoreMachine(RuleBasedStateMachine):
    """Two handles on one database, as two processes have them; the model is a dictionary."""

    made = Bundle("made")
    seen = Bundle("seen")

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        address = f"sqlite:///{Path(self.folder.name) / 'jobs.sqlite3'}"
        self.handles = [JobDatabase(address), JobDatabase(address)]
        self.handles[0].upgrade()
        self.model: dict[str, Job] = {}
        self.moment = 0

    def now(self) -> datetime:
        self.moment += 1
        return BEGIN + timedelta(seconds=self.moment)

    @rule(target=made)
    def add(self) -> str:
        job = Job.queued(f"{len(self.model):032x}", "m:1", self.now())
        self.handles[0].add(job)
        self.model[job.job_id] = job
        return job.job_id

    @rule(target=seen, job_id=made, handle=st.integers(0, 1))
    def read(self, job_id: str, handle: int) -> Job:
        job = self.handles[handle].get(job_id)
        assert job == self.model[job_id]
        return job

    @rule(before=consumes(seen), handle=st.integers(0, 1), token=TOKENS, change=st.integers(0, 6))
    def change(self, before: Job, handle: int, token: str, change: int) -> None:
        now = self.now()
        changes = [
            lambda: before.claimed(Lease(token, now), now),
            lambda: before.renewed(Lease(token, now)),
            lambda: before.entered(token, "read", 0.5, now),
            lambda: before.succeeded(token, Outcome("thrombus_found", ("a", "b")), now),
            lambda: before.failed(Failure("X", "x", "y"), now),
            lambda: before.cancel_requested(now),
            lambda: before.released(now, "lost"),
        ]
        try:
            after = changes[change]()
        except ThrombolensError:
            return
        current = before.revision == self.model[before.job_id].revision
        assert self.handles[handle].replace(before, after) is current
        if current:
            stored = self.handles[1 - handle].get(before.job_id)
            assert stored.revision == before.revision + 1
            self.model[before.job_id] = stored
            assert (stored.state, stored.lease, stored.stages, stored.transitions) == (
                after.state,
                after.lease,
                after.stages,
                after.transitions,
            )

    @invariant()
    def lists_agree(self) -> None:
        unfinished = {job.job_id for job in self.handles[1].unfinished()}
        assert unfinished == {k for k, job in self.model.items() if not job.state.terminal}
        counts = self.handles[0].statistics().jobs
        assert counts == {
            state.value: sum(job.state is state for job in self.model.values())
            for state in JobState
        }

    @invariant()
    def histories_are_whole(self) -> None:
        for job in self.model.values():
            steps = job.transitions
            assert steps[0].before is None
            assert steps[-1].after is job.state
            assert all(a.after is b.before for a, b in itertools.pairwise(steps))
            assert sum(step.after is JobState.SUCCEEDED for step in steps) <= 1

    def teardown(self) -> None:
        for handle in self.handles:
            handle.close()
        self.folder.cleanup()


TestJobStore = JobStoreMachine.TestCase
TestJobStore.settings = settings(max_examples=15, stateful_step_count=20, deadline=None)


def test_an_unknown_job_is_named(tmp_path: Path) -> None:
    database = JobDatabase(f"sqlite:///{tmp_path / 'jobs.sqlite3'}")
    database.upgrade()
    with pytest.raises(UnknownJobError, match="'nope'"):
        database.get("nope")
    database.close()
