"""The service as the README starts it, and Orthanc set up as the page about the PACS says."""

import json
import shlex
import subprocess
from pathlib import Path
from typing import Any

import yaml

from service.settings import Settings
from tests.documented import ROOT, blocks_of
from tests.e2e.test_service import PATIENCE_S, SERIES, settings_in
from tests.peers import Orthanc, orthanc, storescu
from tests.processes import Processes, free_port, wait_until
from tests.strategies import mr_series, uid, write_instances
from tests.tiny_model import small_head
from tests.tools import require

SHOWN_PORT = "127.0.0.1:8000"


def line_with(words: str) -> list[str]:
    """Return the words of the one command of the README that holds these."""
    lines = [line for block in blocks_of("README.md") for line in block.text.splitlines()]
    (line,) = [line for line in lines if words in line]
    return shlex.split(line)


def test_the_service_of_the_readme_takes_the_demo_study(tmp_path: Path) -> None:
    program, *command = line_with("thrombolens serve")
    assert program == ".venv/bin/thrombolens"
    curl, *request = line_with("files=@examples/demo-study.zip")
    assert (curl, sum(SHOWN_PORT in word for word in request)) == ("curl", 1)
    settings = settings_in(tmp_path)
    ours = [word.replace(SHOWN_PORT, f"127.0.0.1:{settings.port}") for word in request]
    with Processes(settings, tmp_path) as service:
        service.start("-m", "service.entrypoints.cli", *command)
        wait_until(service.alive, PATIENCE_S, "the API answers")
        sent = subprocess.run(
            [str(require("curl")), "-sS", *ours],
            cwd=ROOT,
            capture_output=True,
            check=True,
            timeout=60,
        )
        job = json.loads(sent.stdout)
        assert service.job(job["job_id"])["state"] in {"QUEUED", "RUNNING", "SUCCEEDED"}


def shown_to_pacs(language: str) -> list[str]:
    return [each.text for each in blocks_of("docs/pacs.md") if each.language == language]


def as_shown(folder: Path, listener: int) -> dict[str, Any]:
    """Return the settings of Orthanc on the page, with our port and the place of the script."""
    (configuration,), (script,) = shown_to_pacs("json"), shown_to_pacs("lua")
    (folder / "thrombolens.lua").write_text(script)
    shown: dict[str, Any] = json.loads(configuration)
    title = shown["DicomModalities"]["thrombolens"][0]
    return {
        **shown,
        "DicomModalities": {"thrombolens": [title, "127.0.0.1", listener]},
        "LuaScripts": [str(folder / "thrombolens.lua")],
    }


def with_files(folder: Path, settings: Settings, listener: int, archive: Orthanc) -> Settings:
    """Return settings with the page's files of sources and destinations, on this machine."""
    sources, destinations = map(yaml.safe_load, shown_to_pacs("yaml"))
    sources["listener"] |= {"host": "127.0.0.1", "port": listener}
    (source,), (destination,) = sources["sources"], destinations["destinations"]
    source["addresses"] = ["127.0.0.1"]
    source["policy"] |= {"study_quiet_seconds": 2, "series_quiet_seconds": 1}
    destination |= {"host": "127.0.0.1", "port": archive.dicom_port}
    chosen: dict[str, Path] = {}
    for name, content in (("sources", sources), ("destinations", destinations)):
        chosen[name] = folder / f"{name}.yaml"
        chosen[name].write_text(yaml.safe_dump(content))
    return settings.model_copy(update=chosen)


def test_orthanc_set_up_as_shown_forwards_and_gets_the_results(tmp_path: Path) -> None:
    listener, study = free_port(), uid("study", "shown")
    attributes = {**SERIES, "StudyInstanceUID": study}
    files = write_instances(mr_series(small_head(clot=True), **attributes), tmp_path / "study")
    with orthanc(tmp_path / "orthanc", **as_shown(tmp_path, listener)) as archive:
        settings = with_files(tmp_path, settings_in(tmp_path), listener, archive)
        with Processes(settings, tmp_path) as service:
            service.start("-m", "service.entrypoints.cli", "serve")
            wait_until(lambda: "listener_started" in service.logs(), PATIENCE_S, "it listens")
            storescu(archive.dicom_port, "PACS", files)
            wait_until(
                lambda: archive.modalities(study) == ["MR", "SEG", "SR"],
                PATIENCE_S,
                f"the results are in Orthanc; {service.logs()[-2000:]}",
            )
            # What is no image is not sent back to us.
            assert len(service.client.get("/jobs").json()["jobs"]) == 1
            assert "instance_refused" not in service.logs()
