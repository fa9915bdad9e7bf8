"""Metrics for Prometheus: sums over the database, and the requests of this process."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.registry import Collector

from service.adapters.arrival_statistics import ArrivalStatistics
from service.adapters.delivery_database import DeliveryStatistics
from service.adapters.job_database import JobStatistics
from service.adapters.phase_times import (
    Phase,
    Sighting,
    failed_inferences,
    phase_seconds,
    providers_seen,
)
from service.bootstrap.gateway import Gateway
from service.entrypoints.api.arrival_metrics import ArrivalCollector
from service.entrypoints.api.phase_metrics import PhaseCollector, ProviderCollector

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PHASES_OF = timedelta(days=1)

_process = CollectorRegistry()
request_seconds = Histogram(
    "thrombolens_request_seconds",
    "Duration of requests.",
    ("method", "route", "status"),
    registry=_process,
)


class JobCollector(Collector):
    """Turns sums over all jobs into metrics."""

    def __init__(self, statistics: JobStatistics, now: datetime) -> None:
        self._statistics = statistics
        self._now = now

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics."""
        yield self._jobs()
        yield self._oldest()
        yield self._stages()
        yield self._failures()

    def _jobs(self) -> Metric:
        jobs = GaugeMetricFamily("thrombolens_jobs", "Jobs by state.", labels=["state"])
        for state, count in self._statistics.jobs.items():
            jobs.add_metric([state], count)
        return jobs

    def _oldest(self) -> Metric:
        oldest = self._statistics.oldest_queued_at
        age = (self._now - oldest).total_seconds() if oldest else 0.0
        return GaugeMetricFamily(
            "thrombolens_oldest_queued_seconds", "Age of the oldest waiting job.", value=age
        )

    def _stages(self) -> Metric:
        stages = SummaryMetricFamily(
            "thrombolens_stage_seconds", "Duration of finished stages.", labels=["stage"]
        )
        for stage, (count, seconds) in self._statistics.stages.items():
            stages.add_metric([stage], count_value=count, sum_value=seconds)
        return stages

    def _failures(self) -> Metric:
        failures = CounterMetricFamily(
            "thrombolens_job_failures", "Failed jobs by reason.", labels=["code"]
        )
        for code, count in self._statistics.failures.items():
            failures.add_metric([code], count)
        return failures


class DeliveryCollector(Collector):
    """Turns sums over all deliveries into metrics."""

    def __init__(self, statistics: DeliveryStatistics, now: datetime) -> None:
        self._statistics = statistics
        self._now = now

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics."""
        deliveries = GaugeMetricFamily(
            "thrombolens_deliveries",
            "Deliveries by destination and state.",
            labels=["destination", "state"],
        )
        for (destination, state), count in self._statistics.deliveries.items():
            deliveries.add_metric([destination, state], count)
        yield deliveries
        attempts = CounterMetricFamily(
            "thrombolens_delivery_attempts",
            "How often sending to a destination began.",
            labels=["destination"],
        )
        for destination, count in self._statistics.attempts.items():
            attempts.add_metric([destination], count)
        yield attempts
        oldest = GaugeMetricFamily(
            "thrombolens_oldest_open_delivery_seconds",
            "Age of the oldest delivery that has not ended.",
            labels=["destination"],
        )
        for destination, begun_at in self._statistics.oldest_open_at.items():
            oldest.add_metric([destination], (self._now - begun_at).total_seconds())
        yield oldest


@dataclass(frozen=True)
class Measured:
    """What the database knows, at one moment (UTC)."""

    now: datetime
    jobs: JobStatistics
    deliveries: DeliveryStatistics
    arrivals: ArrivalStatistics
    phases: Mapping[Phase, Sequence[float]]
    providers: Sequence[Sighting]
    failed_inferences: Mapping[str, int]


def measure(gateway: Gateway) -> Measured:
    """Ask the database for everything that is measured.

    Raises
    ------
    JobDatabaseError
        If it cannot be reached.
    """
    now = datetime.now(UTC)
    engine = gateway.database.engine
    return Measured(
        now=now,
        jobs=gateway.database.statistics(),
        deliveries=gateway.deliveries.statistics(),
        arrivals=gateway.arrivals.database.statistics(),
        phases=phase_seconds(engine, now - PHASES_OF),
        providers=providers_seen(engine),
        failed_inferences=failed_inferences(engine),
    )


def exposition(measured: Measured) -> bytes:
    """Return all metrics in the text format of Prometheus."""
    registry = CollectorRegistry()
    registry.register(JobCollector(measured.jobs, measured.now))
    registry.register(DeliveryCollector(measured.deliveries, measured.now))
    registry.register(ArrivalCollector(measured.arrivals))
    registry.register(PhaseCollector(measured.phases))
    registry.register(
        ProviderCollector(measured.providers, measured.failed_inferences, measured.now)
    )
    return generate_latest(registry) + generate_latest(_process)
