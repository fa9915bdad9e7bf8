"""Studies that lie on this machine, for the command line."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service.adapters.study_files import StudyFolder
from service.adapters.upload_files import IncomingUpload, UploadLimits
from service.domain.study import DetectedSequences, StudyFacts
from service.settings import Settings
from service.stages.detect_sequences import detect_sequences


def upload_limits(settings: Settings) -> UploadLimits:
    """Return what an upload may have at most."""
    return UploadLimits(
        max_upload_bytes=settings.max_upload_bytes,
        max_files=settings.max_files,
        max_unpacked_bytes=settings.max_unpacked_bytes,
        max_compression_ratio=settings.max_compression_ratio,
    )


@contextmanager
def opened_study(settings: Settings, study: Path) -> Iterator[Path]:
    """Yield a folder that holds the study: itself, or what a zip or a single file unpacks to.

    Raises
    ------
    InputError
        As for an upload: the same limits and checks hold.
    """
    if study.is_dir():
        yield study
        return
    with (
        tempfile.TemporaryDirectory(prefix="thrombolens-") as place,
        IncomingUpload(Path(place), upload_limits(settings)) as incoming,
    ):
        incoming.add(study)
        incoming.finish()
        yield incoming.folder


def read_sequences(settings: Settings, folder: Path) -> tuple[StudyFacts, DetectedSequences]:
    """Read the headers of a folder and say what would be used; see ``detect_sequences``."""
    facts = open_study(settings, folder).facts
    return facts, detect_sequences(facts)


def open_study(settings: Settings, folder: Path) -> StudyFolder:
    """Read a folder within the limits of the settings; see ``StudyFolder.read`` for errors."""
    return StudyFolder.read(
        folder,
        max_slices=settings.max_slices,
        max_file_bytes=settings.max_file_bytes,
        max_pixels=settings.max_pixels,
    )
