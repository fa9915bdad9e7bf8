"""The composition's commands, from the images, with a PACS that sends and an archive that receives.

Run by ``make images-check``. Redis, PostgreSQL, Orthanc and Prometheus are those of this machine,
on loopback.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pydicom
import pytest

from docker.check.composition import ROOT, read_composition
from docker.check.containers import Container
from docker.check.servers import needed, prometheus_of_the_composition
from docker.check.site import (
    UID,
    Site,
    container,
    demo_study,
    output,
    prepared_site,
    send_study,
    start,
    tell,
)
from tests.peers import ohif
from tests.processes import wait_until
from tests.tools import VIEWER
from tests.viewer import viewer

RESULT_S = 900.0
WORKERS = 2
UPLOADS = 4
# Nothing went wrong in these ways, and there is no GPU.
EMPTY_PANELS = {"Failed jobs by reason", "Failed test inferences", "GPU memory in use"}


def test_a_pacs_sends_and_the_archive_gets_results(tmp_path: Path) -> None:
    services = read_composition()
    study = demo_study(tmp_path / "study")
    with ExitStack() as stack:
        site = stack.enter_context(prepared_site(tmp_path))
        with container(services["migrate"], site) as migrate:
            migrated = migrate.run(migrate.service.command)
            assert migrated.returncode == 0, migrated.stderr
            tell(f"migrate: {migrated.stdout.strip().splitlines()[-1]}")
        workers = [container(services["worker"], site, n + 1) for n in range(WORKERS)]
        others = [container(services[name], site) for name in ("api", "listener", "deliverer")]
        processes = [stack.enter_context(each) for each in (*workers, *others)]
        for each in processes:
            start(each)
        for each in processes[WORKERS - 1 :]:
            check_image(each)
        prometheus = stack.enter_context(prometheus_of_the_composition(site.home, site.api_port))
        send_study(study, site.dicom_port, "THROMBOLENS")
        wait_for_results(site)
        check_workers_share(site, workers)
        check_refusal(site, tmp_path)
        check_dashboard(prometheus)
        check_viewer(site, study)
        for each in processes:
            assert each.running(), each.log()
            assert each.health(), each.log()
            assert each.written() == []
        check_loss_of_a_worker(site, workers)


def check_image(each: Container) -> None:
    """Check labels, user, what it is made of, and that nobody can install anything more."""
    assert "not a medical device" in each.labels()["org.opencontainers.image.description"]
    assert output(each, "id", "-u") == str(UID)
    bill = json.loads(output(each, "cat", "/opt/thrombolens/sbom.cdx.json"))
    versions = {part["name"].lower(): part["version"] for part in bill["components"]}
    assert not_as_pinned(versions) == {}
    parts = versions.keys()
    assert "pydicom" in parts
    assert "torch" not in parts
    assert ("onnxruntime" in parts) == (each.service.name == "worker")
    assert each.run(["python", "-c", "import pip"]).returncode == 1
    assert each.run(["touch", "/opt/thrombolens/x"]).returncode == 1


def not_as_pinned(versions: dict[str, str]) -> dict[str, str]:
    """Return distributions, except ourselves, of another version than ``constraints.txt`` has."""
    lines = (ROOT / "constraints.txt").read_text().lower().splitlines()
    pinned = {line.split("==")[0]: line.split("==")[1] for line in lines if "==" in line}
    # redis asks for async-timeout on a Python before 3.11.3, which that of a stand-in is.
    ours = {"thrombolens", "async-timeout"}
    others = {name: one for name, one in versions.items() if name not in ours}
    return {name: one for name, one in others.items() if pinned.get(name) != one}


def wait_for_results(site: Site) -> None:
    """Wait until the archive holds segmentation and report."""
    begun = time.monotonic()
    wait_until(
        lambda: archived(site) >= {"SEG", "SR"} or has_failed(site),
        RESULT_S,
        "SEG and SR are archived",
    )
    assert not has_failed(site), logs(site, "worker")
    tell(f"SEG and SR in Orthanc {time.monotonic() - begun:.1f} s after the last instance was sent")


def check_workers_share(site: Site, workers: Sequence[Container]) -> None:
    """Send several studies at once; every worker has to take some."""
    content = (ROOT / "examples/demo-study.zip").read_bytes()
    for _ in range(UPLOADS):
        sent = httpx.post(f"{site.api}/segment", files=[("files", ("s.zip", content))], timeout=60)
        assert sent.status_code == 202, sent.text
    wanted = f'thrombolens_jobs{{state="SUCCEEDED"}} {UPLOADS + 1}.0'
    wait_until(lambda: wanted in site.metrics or has_failed(site), RESULT_S, "all are analysed")
    assert not has_failed(site), logs(site, "worker")

    def done() -> list[int]:
        return [each.log().count('"event": "job_succeeded"') for each in workers]

    wait_until(lambda: sum(done()) == UPLOADS + 1, 10, "all ends are logged")
    tell(f"{UPLOADS + 1} studies, by worker: {done()}")
    assert min(done()) > 0


def check_refusal(site: Site, folder: Path) -> None:
    """Send our own segmentation back: it is refused, and counted."""
    own = folder / "own"
    own.mkdir()
    segmentation(site).save_as(own / "seg.dcm")
    with pytest.raises(subprocess.CalledProcessError):
        send_study(own, site.dicom_port, "THROMBOLENS")
    wanted = 'thrombolens_refused_instances_total{code="OWN_OUTPUT",source="pacs"} 1.0'
    wait_until(lambda: wanted in site.metrics, 30, "the refusal is counted")


def segmentation(site: Site) -> pydicom.Dataset:
    """Fetch a segmentation from Orthanc."""
    found = [one for one in all_series(site) if one["MainDicomTags"]["Modality"] == "SEG"]
    content = site.archive.client.get(f"/instances/{found[0]['Instances'][0]}/file").content
    return pydicom.dcmread(BytesIO(content))


def check_dashboard(prometheus: httpx.Client) -> None:
    """Ask Prometheus what every panel asks; rules must be understood, and the right one raised."""

    def empty() -> set[str]:
        return {title for title, count in panels(prometheus).items() if not count}

    # The last thing that happened reaches it a moment later.
    wait_until(lambda: empty() <= EMPTY_PANELS, 60, "Prometheus has series for the panels")
    tell(f"series by panel: {panels(prometheus)}")
    assert empty() == EMPTY_PANELS
    groups = prometheus.get("/api/v1/rules").json()["data"]["groups"]
    health = {rule["name"]: rule["health"] for group in groups for rule in group["rules"]}
    assert set(health.values()) == {"ok"}, health
    wait_until(lambda: firing(prometheus), 30, "the alert about the refusal is raised")
    tell(f"{len(health)} rules evaluated; firing: {firing(prometheus)}")
    assert firing(prometheus) == ["InstancesRefused"]


def panels(prometheus: httpx.Client) -> dict[str, int]:
    """Return how many series every panel has shown at any time of the check."""
    told = json.loads((ROOT / "docker/grafana/dashboards/thrombolens.json").read_text())
    return {
        panel["title"]: sum(
            series_of(prometheus, f"last_over_time(({one['expr']})[15m:1s])")
            for one in panel["targets"]
        )
        for panel in told["panels"]
    }


def series_of(prometheus: httpx.Client, expression: str) -> int:
    """Return how many series Prometheus has for an expression."""
    answer = prometheus.get("/api/v1/query", params={"query": expression}).json()
    assert answer["status"] == "success", (expression, answer)
    return len(answer["data"]["result"])


def firing(prometheus: httpx.Client) -> list[str]:
    """Return the names of the alerts that are raised."""
    found = prometheus.get("/api/v1/alerts").json()["data"]["alerts"]
    return sorted(one["labels"]["alertname"] for one in found if one["state"] == "firing")


def check_viewer(site: Site, study: Path) -> None:
    """Put the images beside the results, and let OHIF show the segmentation."""
    assert VIEWER.exists(), "OHIF is missing: python -m tests.tools fetches it by npm"
    needed("chromium")
    send_study(study, site.archive.dicom_port, "ORTHANC")
    (uid,) = {one["MainDicomTags"]["StudyInstanceUID"] for one in studies(site)}
    with ohif(VIEWER, site.archive) as address, viewer() as opened:
        opened.open(address, uid, series=len(all_series(site)))
        opened.show("SEG")
        labels = [each.SegmentLabel for each in segmentation(site).SegmentSequence]
        shown = opened.segments(len(labels))
    tell(f"OHIF shows {shown}")
    assert shown == labels


def check_loss_of_a_worker(site: Site, workers: Sequence[Container]) -> None:
    """Kill a worker; nobody misses it as long as there is another one."""
    started = next(line for line in workers[0].log().splitlines() if "worker_started" in line)
    os.kill(json.loads(started)["pid"], signal.SIGKILL)
    wait_until(lambda: not workers[0].running(), 30, "the worker is gone")
    ready = httpx.get(f"{site.api}/health/ready", timeout=60)
    assert ready.status_code == 200, ready.text
    assert workers[1].health()


def has_failed(site: Site) -> bool:
    return 'thrombolens_jobs{state="FAILED"} 0.0' not in site.metrics


def all_series(site: Site) -> list[dict[str, Any]]:
    """Return the series in Orthanc."""
    found: list[dict[str, Any]] = site.archive.client.get("/series", params={"expand": ""}).json()
    return found


def studies(site: Site) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = site.archive.client.get("/studies", params={"expand": ""}).json()
    return found


def archived(site: Site) -> set[str]:
    """Return the modalities of the series in Orthanc."""
    return {each["MainDicomTags"]["Modality"] for each in all_series(site)}


def logs(site: Site, name: str) -> str:
    return "".join(path.read_text()[-4000:] for path in site.logs.glob(f"{name}-*.log"))
