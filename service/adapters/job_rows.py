"""Jobs as rows of the job database, and back."""

from typing import Any

import sqlalchemy as sa

from service.adapters.job_tables import job_arrivals, jobs, stages, transitions
from service.domain.arrival import ArrivalPolicy, JobArrival, StartReason
from service.domain.job import Failure, Job, JobState, Lease, Outcome, StageRun, Transition


def add_job(connection: sa.Connection, job: Job) -> None:
    """Add a new job within the transaction of a connection."""
    connection.execute(jobs.insert().values(job_id=job.job_id, **job_values(job)))
    if job.arrival is not None:
        connection.execute(
            job_arrivals.insert().values(job_id=job.job_id, **_arrival_values(job.arrival))
        )
    write_history(connection, None, job)


def job_values(job: Job) -> dict[str, Any]:
    """Return what may change of a job."""
    lease, outcome, failure = job.lease, job.outcome, job.failure
    return {
        "model": job.model,
        "created_at": job.created_at,
        "state": job.state.value,
        "revision": job.revision,
        "attempts": job.attempts,
        "lease": lease.token if lease else None,
        "lease_expires_at": lease.expires_at if lease else None,
        "results_lease": job.results_lease,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
        "rung_at": job.rung_at,
        "stage": job.stage,
        "progress": job.progress,
        "result": outcome.result if outcome else None,
        "files": list(outcome.files) if outcome else None,
        **failure_values(failure),
    }


def failure_values(failure: Failure | None) -> dict[str, Any]:
    """Return what is stored of a failure, of a job or of a delivery."""
    return {
        "failure_code": failure.code if failure else None,
        "failure_message": failure.message if failure else None,
        "failure_fixed_by": failure.fixed_by if failure else None,
    }


def write_history(connection: sa.Connection, before: Job | None, after: Job) -> None:
    """Add the transitions that are new; add or finish the stages that changed."""
    known = len(before.transitions) if before else 0
    for number, step in enumerate(after.transitions[known:], known):
        connection.execute(
            transitions.insert().values(
                job_id=after.job_id,
                number=number,
                before=step.before.value if step.before else None,
                after=step.after.value,
                at=step.at,
                reason=step.reason,
                lease=step.lease,
            )
        )
    old = before.stages if before else ()
    for number, run in enumerate(after.stages):
        if number >= len(old):
            connection.execute(
                stages.insert().values(job_id=after.job_id, number=number, **_stage_values(run))
            )
        elif old[number] != run:
            key = sa.and_(stages.c.job_id == after.job_id, stages.c.number == number)
            connection.execute(stages.update().where(key).values(**_stage_values(run)))


def _stage_values(run: StageRun) -> dict[str, Any]:
    return {
        "attempt": run.attempt,
        "stage": run.stage,
        "started_at": run.started_at,
        "finished_at": run.finished_at,
        "seconds": run.seconds,
    }


def grouped(
    connection: sa.Connection, table: sa.Table, key: sa.Column[Any], wanted: list[str]
) -> dict[str, list[sa.Row[Any]]]:
    """Return the rows of a table that belong to several others, in order, by their key."""
    query = sa.select(table).where(key.in_(wanted)).order_by(table.c.number)
    found: dict[str, list[sa.Row[Any]]] = {}
    for row in connection.execute(query):
        found.setdefault(getattr(row, key.name), []).append(row)
    return found


def to_job(
    row: sa.Row[Any],
    steps: list[sa.Row[Any]],
    runs: list[sa.Row[Any]],
    arrival: sa.Row[Any] | None,
) -> Job:
    """Return the job that rows of the tables stand for."""
    return Job(
        job_id=row.job_id,
        model=row.model,
        created_at=row.created_at,
        state=JobState(row.state),
        revision=row.revision,
        attempts=row.attempts,
        lease=Lease(row.lease, row.lease_expires_at) if row.lease else None,
        results_lease=row.results_lease,
        started_at=row.started_at,
        rung_at=row.rung_at,
        stage=row.stage,
        progress=row.progress,
        outcome=Outcome(row.result, tuple(row.files)) if row.result else None,
        failure=to_failure(row),
        transitions=tuple(_to_transition(step) for step in steps),
        stages=tuple(StageRun(r.attempt, r.stage, r.started_at, r.finished_at) for r in runs),
        arrival=None if arrival is None else _to_arrival(arrival),
    )


def to_failure(row: sa.Row[Any]) -> Failure | None:
    """Return the failure of a row that ``failure_values`` wrote."""
    if row.failure_code is None:
        return None
    return Failure(row.failure_code, row.failure_message, row.failure_fixed_by)


def _to_transition(row: sa.Row[Any]) -> Transition:
    before = JobState(row.before) if row.before else None
    return Transition(before, JobState(row.after), row.at, row.reason, row.lease)


def _arrival_values(arrival: JobArrival) -> dict[str, Any]:
    return {
        "study_instance_uid": arrival.study_instance_uid,
        "source": arrival.source,
        "policy": arrival.policy.to_json(),
        "reason": arrival.reason.value,
        "round": arrival.round,
        "instances": arrival.instances,
        "duplicates": arrival.duplicates,
        "late": arrival.late,
        "supersedes": arrival.supersedes,
        "superseded_by": arrival.superseded_by,
    }


def _to_arrival(row: sa.Row[Any]) -> JobArrival:
    return JobArrival(
        study_instance_uid=row.study_instance_uid,
        source=row.source,
        policy=ArrivalPolicy.from_json(row.policy),
        reason=StartReason(row.reason),
        round=row.round,
        instances=row.instances,
        duplicates=row.duplicates,
        late=row.late,
        supersedes=row.supersedes,
        superseded_by=row.superseded_by,
    )
