"""Metrics of what arrives, for Prometheus."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from service.adapters.arrival_statistics import ArrivalStatistics


class ArrivalCollector(Collector):
    """Turns sums over all that arrived into metrics."""

    def __init__(self, statistics: ArrivalStatistics) -> None:
        self._statistics = statistics

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics."""
        # Old studies are forgotten, so that the sum may shrink.
        arrived = GaugeMetricFamily(
            "thrombolens_arrived_instances",
            "Instances that are known, by source and what they were to their study.",
            labels=["source", "receipt"],
        )
        for (source, receipt), count in self._statistics.instances.items():
            arrived.add_metric([source, receipt], count)
        yield arrived
        refused = CounterMetricFamily(
            "thrombolens_refused_instances",
            "Instances that were refused, by source and reason.",
            labels=["source", "code"],
        )
        for (source, code), count in self._statistics.refusals.items():
            refused.add_metric([source, code], count)
        yield refused
        collecting = GaugeMetricFamily(
            "thrombolens_collecting_studies", "Studies that are not started yet.", labels=["source"]
        )
        for source, count in self._statistics.collecting.items():
            collecting.add_metric([source], count)
        yield collecting
