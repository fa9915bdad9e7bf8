"""A real worker process with a small analysis in place of the clinical path.

The upload's smallest file says what to do, as a line of words: ``sleep 2``, ``fail``, ``crash``,
``empty``. Started as ``python -m tests.fake_worker``.
"""

import time
from pathlib import Path

from service.adapters.result_files import write_folder
from service.adapters.structured_log import configure_logs
from service.application.ports import StageProgress
from service.bootstrap.working import run_jobs
from service.domain.errors import NotDicomError
from service.domain.job import Outcome
from service.settings import Settings

STAGES = ("READ", "INFER", "WRITE")


def analyse(
    upload: Path,
    model: str,
    results: Path,
    progress: StageProgress,
    earlier: Path | None = None,
) -> Outcome:
    """Do what the upload says, with a stage before each step."""
    words = min(upload.iterdir()).read_text().split()
    for number, stage in enumerate(STAGES):
        progress.stage(stage, number / len(STAGES))
        if words[0] == "sleep":
            time.sleep(float(words[1]) / len(STAGES))
    if words[0] == "fail":
        raise NotDicomError("none of 1 files is a DICOM instance")
    if words[0] == "crash":
        raise ZeroDivisionError("DOE^JANE")
    files = {"report.json": b'{"result": "no_thrombus_found"}'}
    if words[0] != "empty":
        files |= {"segmentation.dcm": b"DICM", "mask.nii.gz": b"nii", "preview.png": b"png"}
    write_folder(results, files)
    result = "no_thrombus_found" if words[0] == "empty" else "thrombus_found"
    return Outcome(result, tuple(files))


def probe() -> str:
    """Answer as an inference would."""
    return "FakeExecutionProvider"


if __name__ == "__main__":
    settings = Settings.load()
    configure_logs(settings.log_level)
    run_jobs(settings, analyse, probe)
