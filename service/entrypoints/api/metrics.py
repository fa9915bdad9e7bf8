"""Metrics for Prometheus: jobs as the database knows them, requests as this process counts."""

from collections.abc import Iterator
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.registry import Collector

from service.adapters.job_database import JobStatistics

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

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


def exposition(statistics: JobStatistics) -> bytes:
    """Return all metrics in the text format of Prometheus."""
    jobs = CollectorRegistry()
    jobs.register(JobCollector(statistics, datetime.now(UTC)))
    return generate_latest(jobs) + generate_latest(_process)
