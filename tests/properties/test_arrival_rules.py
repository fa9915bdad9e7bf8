"""Completeness of arriving studies: rules that hold for whatever comes, whenever it comes."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from service.domain.arrival import (
    Arrival,
    ArrivalPolicy,
    ArrivalState,
    ArrivedSeries,
    JobArrival,
    LateSeries,
    Source,
    Start,
    StartReason,
    due_start,
)
from service.domain.sequence import Role

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)

policies = st.builds(
    lambda series, more, most, roles, late: ArrivalPolicy(
        series, series + more, series + more + most, tuple(roles), late
    ),
    st.floats(0.5, 60),
    st.floats(0, 60),
    st.floats(0, 600),
    st.lists(st.sampled_from(Role), unique=True, max_size=2),
    st.sampled_from(LateSeries),
)


def moments(first: float, last: float) -> st.SearchStrategy[datetime]:
    return st.floats(first, last).map(lambda seconds: NOON + timedelta(seconds=seconds))


@st.composite
def arrivals(draw: st.DrawFn) -> Arrival:
    """Any arrival that can be."""
    found = []
    for number in range(draw(st.integers(0, 4))):
        instances = draw(st.integers(1, 50))
        new = draw(st.integers(0, instances))
        first = draw(moments(0, 300))
        last = first + timedelta(seconds=draw(st.floats(0, 600)))
        found.append(ArrivedSeries(f"1.{number}", instances, new, first if new else None, last))
    rounds = draw(st.integers(0, 2))
    source = Source("scanner", draw(policies))
    return Arrival("1.2", source, rounds, "j" if rounds else None, tuple(found), 0, 10)


def never(_series: tuple[str, ...], _roles: tuple[Role, ...]) -> bool:
    return False


def always(_series: tuple[str, ...], _roles: tuple[Role, ...]) -> bool:
    return True


@given(arrivals(), moments(0, 2000))
def test_without_anything_new_nothing_starts(arrival: Arrival, now: datetime) -> None:
    old = tuple(replace(each, new=0, first_new_at=None) for each in arrival.series)
    settled = replace(arrival, series=old)
    assert settled.state is ArrivalState.STARTED
    assert due_start(settled, now, always) is None


@given(arrivals(), moments(0, 2000))
def test_it_starts_exactly_when_it_is_due_and_never_after_the_deadline(
    arrival: Arrival, now: datetime
) -> None:
    due_at, policy = arrival.due_at(), arrival.source.policy
    start = due_start(arrival, now, never)
    assert (start is not None) == (due_at is not None and now >= due_at)
    if due_at is not None and arrival.first_new_at is not None:
        assert due_at <= arrival.first_new_at + timedelta(seconds=policy.deadline_seconds)
    if start is not None:
        assert start.series == arrival.all_series()
        assert start.instances == arrival.instances
        quiet = arrival.quiet_at()
        assert quiet is not None
        assert (start.reason is StartReason.QUIET) == (due_at == quiet)


@given(arrivals(), moments(0, 2000), moments(0, 2000))
def test_time_alone_never_takes_a_start_back(
    arrival: Arrival, one: datetime, other: datetime
) -> None:
    earlier, later = sorted((one, other))
    if due_start(arrival, earlier, never) is not None:
        assert due_start(arrival, later, never) is not None


@given(arrivals(), moments(0, 2000))
def test_one_more_instance_never_makes_a_quiet_study_start_sooner(
    arrival: Arrival, now: datetime
) -> None:
    now = max(now, arrival.last_seen_at or now)
    more = (*arrival.series, ArrivedSeries("1.9", 1, 1, now, now))
    before, after = arrival.due_at(), replace(arrival, series=more).due_at()
    assert after is not None
    if before is not None and before >= now:
        assert after >= before


@given(arrivals(), moments(0, 2000))
def test_an_early_start_takes_complete_series_alone_and_happens_once(
    arrival: Arrival, now: datetime
) -> None:
    asked: list[tuple[str, ...]] = []

    def filled(series: tuple[str, ...], _roles: tuple[Role, ...]) -> bool:
        asked.append(series)
        return True

    start = due_start(arrival, now, filled)
    policy = arrival.source.policy
    waits = timedelta(seconds=policy.series_quiet_seconds)
    if start is not None and start.reason is StartReason.EARLY:
        assert policy.early_start
        assert arrival.rounds == 0
        chosen = {each.series_instance_uid: each for each in arrival.series}
        assert start.series
        assert all(now - chosen[uid].last_seen_at >= waits for uid in start.series)
        assert asked == [start.series]
    if arrival.rounds or not policy.early_start:
        assert not asked


@given(arrivals())
def test_the_job_says_what_started_it(arrival: Arrival) -> None:
    told = JobArrival.of(Start(arrival, StartReason.DEADLINE, arrival.all_series()))
    assert (told.round, told.supersedes) == (arrival.rounds + 1, arrival.job_id)
    assert told.instances == arrival.instances
    assert told.superseded_by is None


@given(policies)
def test_a_policy_comes_back_as_it_was_written(policy: ArrivalPolicy) -> None:
    assert ArrivalPolicy.from_json(policy.to_json()) == policy
