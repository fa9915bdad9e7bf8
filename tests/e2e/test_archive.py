"""A study goes in and its results stand in a real archive: Orthanc, asked by QIDO-RS."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.settings import Settings
from tests.e2e.test_service import PATIENCE_S, SERVE, settings_in, zipped
from tests.peers import Orthanc, orthanc
from tests.processes import Processes, free_port, wait_until

OUR_AE = "THROMBOLENS"


@pytest.fixture(scope="module")
def committing() -> int:
    """Return the port on which we take reports about storage commitment."""
    return free_port()


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory, committing: int) -> Iterator[Orthanc]:
    # Orthanc reports on an association of its own, to where it knows that we are.
    known = {"us": {"AET": OUR_AE, "Host": "127.0.0.1", "Port": committing}}
    with orthanc(tmp_path_factory.mktemp("archive"), DicomModalities=known) as running:
        yield running


def destinations(archive: Orthanc, committing: int) -> list[dict[str, Any]]:
    return [
        {
            "name": "by-dimse",
            "kind": "c-store",
            "host": "127.0.0.1",
            "port": archive.dicom_port,
            "called_ae": "ORTHANC",
            "calling_ae": OUR_AE,
            "confirm": "storage-commitment",
            "commitment_port": committing,
        },
        {
            "name": "by-web",
            "kind": "stow",
            "url": f"{archive.client.base_url}/dicom-web",
            "confirm": "qido",
            "objects": ["structured_report"],
        },
    ]


def serving(folder: Path, entries: list[dict[str, Any]]) -> Settings:
    file = folder / "destinations.yaml"
    file.write_text(yaml.safe_dump({"version": 1, "destinations": entries}))
    return settings_in(folder).model_copy(
        update={"destinations": file, "delivery_interval_seconds": 0.5}
    )


def test_results_are_in_the_archive_and_confirmed_by_it(
    tmp_path: Path, archive: Orthanc, committing: int
) -> None:
    settings = serving(tmp_path, destinations(archive, committing))
    with Processes(settings, tmp_path) as service:
        service.start("-c", SERVE + "serve(Settings.load())")
        wait_until(service.alive, PATIENCE_S, "the API answers")
        job_id = service.post(zipped(clot=True))
        job = service.result_of(job_id, PATIENCE_S)
        assert job["result"] == "thrombus_found", job

        def ended() -> list[dict[str, Any]] | None:
            found = service.client.get(f"/jobs/{job_id}/deliveries").json()["deliveries"]
            done = all(one["state"] in {"DELIVERED", "SENT", "FAILED"} for one in found)
            return found if done else None

        delivered = wait_until(ended, PATIENCE_S, "deliveries end; " + service.logs()[-2000:])
        states = {one["destination"]: one["state"] for one in delivered}
        assert states == {"by-dimse": "DELIVERED", "by-web": "DELIVERED"}, delivered
        assert "DOE" not in service.logs()
    (study,) = archive.client.get("/dicom-web/studies").raise_for_status().json()
    # One series of segmentations, one of reports; the report went both ways and is one.
    assert archive.modalities(study["0020000D"]["Value"][0]) == ["SEG", "SR"]
