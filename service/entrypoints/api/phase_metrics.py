"""Metrics of time from door to result, and of what the workers compute with, for Prometheus."""

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from service.adapters.phase_times import Phase, Sighting

QUANTILES = (0.5, 0.95, 1.0)


class PhaseCollector(Collector):
    """Turns the times of the last day into quantiles; a phase without any has none."""

    def __init__(self, seconds: Mapping[Phase, Sequence[float]]) -> None:
        self._seconds = seconds

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics."""
        family = GaugeMetricFamily(
            "thrombolens_phase_seconds",
            "Seconds from door to result, by phase, of jobs that succeeded in the last 24 hours.",
            labels=["phase", "quantile"],
        )
        for phase, values in self._seconds.items():
            ordered = sorted(values)
            for quantile in QUANTILES if ordered else ():
                place = max(0, math.ceil(quantile * len(ordered)) - 1)
                family.add_metric([phase.value, f"{quantile:g}"], ordered[place])
        yield family


class ProviderCollector(Collector):
    """Turns what the workers said about test inferences into metrics."""

    def __init__(
        self, seen: Sequence[Sighting], failures: Mapping[str, int], now: datetime
    ) -> None:
        self._seen = seen
        self._failures = failures
        self._now = now

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics."""
        age = GaugeMetricFamily(
            "thrombolens_provider_seen_seconds",
            "Seconds since a worker last ran a test inference, by execution provider.",
            labels=["provider"],
        )
        for sighting in self._seen:
            age.add_metric([sighting.provider], (self._now - sighting.at).total_seconds())
        yield age
        failed = GaugeMetricFamily(
            "thrombolens_failed_test_inferences",
            "Test inferences of the last day that failed, by reason.",
            labels=["code"],
        )
        for code, count in self._failures.items():
            failed.add_metric([code], count)
        yield failed
