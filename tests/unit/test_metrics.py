"""Metrics: documented, used by dashboard and alerts as they are, and without identities."""

import json
import re
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from service.adapters.phase_times import Phase
from service.entrypoints.api.phase_metrics import PhaseCollector
from tests.api import ApiWorld

ROOT = Path(__file__).resolve().parents[2]
GRAFANA = ROOT / "docker/grafana"
DASHBOARD = GRAFANA / "dashboards/thrombolens.json"
ALERTS = ROOT / "docker/prometheus/alerts.yml"
NAME = re.compile(r"\b(?:thrombolens|DCGM)_\w+")
# Of a histogram or summary, or when a process began to count.
DERIVED = re.compile(r"_(?:sum|count|bucket|created)$")
LABELS = {"state", "stage", "code", "destination", "source", "receipt", "method", "route", "status",
          "phase", "quantile", "provider", "le"}  # fmt: skip


def documented() -> set[str]:
    text = (ROOT / "docs/deployment.md").read_text()
    return set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE))


@pytest.fixture(scope="module")
def exposed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Give what Prometheus reads from an API with a job that succeeded."""
    with ApiWorld(tmp_path_factory.mktemp("world")) as world:
        world.finish(world.claim(world.queue_job()), "thrombus_found")
        return world.client.get("/metrics").text


def test_every_metric_is_documented_and_no_other(exposed: str) -> None:
    names = set(re.findall(r"^# TYPE (\w+) ", exposed, re.MULTILINE))
    ours = {name for name in documented() if not name.startswith("DCGM")}
    assert {name for name in names if not name.endswith("_created")} == ours


def test_labels_are_from_a_list(exposed: str) -> None:
    assert set(re.findall(r"[{,](\w+)=\"", exposed)) <= LABELS


def test_the_dashboard_shows_what_there_is() -> None:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        used = NAME.findall(" ".join(target["expr"] for target in panel["targets"]))
        assert used, panel["title"]
        assert {DERIVED.sub("", name) for name in used} <= documented(), panel["title"]


def test_grafana_knows_every_word_of_the_dashboard() -> None:
    register_default_plugins()
    told = json.loads(DASHBOARD.read_text())
    known = json.loads(JSONEncoder().encode(Dashboard.from_json(told)))
    assert list(lost(told, known)) == []
    # The comparison bites.
    told["panels"][0]["fieldConfig"]["defaults"]["unti"] = "s"
    known = json.loads(JSONEncoder().encode(Dashboard.from_json(told)))
    assert list(lost(told, known)) == [".panels[0].fieldConfig.defaults.unti"]


def lost(told: Any, known: Any, place: str = "") -> Iterator[str]:
    """Yield places where a value is not what it was, because nobody knows it."""
    if isinstance(told, dict) and isinstance(known, dict):
        for key, value in told.items():
            yield from lost(value, known.get(key), f"{place}.{key}")
    elif isinstance(told, list) and isinstance(known, list) and len(told) == len(known):
        for number, (one, other) in enumerate(zip(told, known, strict=True)):
            yield from lost(one, other, f"{place}[{number}]")
    elif told != known:
        yield place


def test_the_dashboard_was_read_as_the_grafana_of_the_composition_does() -> None:
    composition = (ROOT / "docker-compose.yml").read_text()
    (image,) = re.findall(r"image: docker\.io/grafana/grafana:(\S+)", composition)
    assert version("grafana-foundation-sdk").endswith(f"!{image}")


def test_panels_lie_side_by_side_and_ask_the_provisioned_prometheus() -> None:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    provisioned = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yml").read_text())
    (source,) = provisioned["datasources"]
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        assert panel["datasource"] == {"type": source["type"], "uid": source["uid"]}
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert at["x"] + at["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells


def test_alerts_are_about_what_there_is() -> None:
    used = set(NAME.findall(ALERTS.read_text()))
    assert used
    assert used <= documented()


def test_quantiles_are_values_that_occurred() -> None:
    (family,) = PhaseCollector({Phase.TOTAL: [4.0, 1.0, 2.0], Phase.QUEUE: []}).collect()
    shown = {(s.labels["phase"], s.labels["quantile"]): s.value for s in family.samples}
    assert shown == {("total", "0.5"): 2.0, ("total", "0.95"): 4.0, ("total", "1"): 4.0}
