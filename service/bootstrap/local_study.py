"""Studies that lie on this machine, for the command line."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from service.adapters.instance_files import read_instance
from service.adapters.model_files import find_model
from service.adapters.override_files import read_overrides
from service.adapters.study_files import ReadLimits, StudyCatalogue, StudyFolder
from service.adapters.upload_files import IncomingUpload, UploadLimits
from service.application.classify_studies import classify_studies
from service.domain.classification_report import ClassificationReport
from service.domain.errors import InputError
from service.domain.override import SiteOverride
from service.domain.sequence import Role
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


def site_overrides(settings: Settings, instead: Path | None = None) -> tuple[SiteOverride, ...]:
    """Return what the site knows better about its series; see ``read_overrides`` for errors.

    Parameters
    ----------
    settings : Settings
    instead : Path, optional
        A file that takes the place of the one in the settings.
    """
    path = instead or settings.sequence_overrides
    return () if path is None else read_overrides(path)


def model_name(settings: Settings, wanted: str | None = None) -> str:
    """Return ``name:version`` of the wanted model, or of the default one.

    Raises
    ------
    UnknownModelError
        If it is not installed.
    """
    folder = find_model(settings.models_dir, wanted or settings.default_model)
    return f"{folder.parent.name}:{folder.name}"


def classify_folder(
    settings: Settings,
    folder: Path,
    overrides: Sequence[SiteOverride],
    *,
    with_pixels: bool = True,
) -> ClassificationReport:
    """Say what every series below a folder is and what would be used of it.

    Any number of studies, or none: a look refuses nothing that it can read. See
    ``classify_studies`` and, for errors, ``StudyCatalogue.read``.
    """
    limits = ReadLimits(settings.max_slices, settings.max_file_bytes, settings.max_pixels)
    catalogue = StudyCatalogue.read(folder, limits, headers_only=not with_pixels)
    return classify_studies(
        catalogue.studies,
        overrides,
        with_pixels=with_pixels,
        ignored_files=catalogue.ignored_files,
        damaged_files=catalogue.damaged_files,
    )


def roles_of_files(
    settings: Settings, paths: Sequence[Path], overrides: Sequence[SiteOverride]
) -> frozenset[Role]:
    """Return the roles that instances of one study fill by their headers; unreadable ones none.

    Files may be deleted meanwhile, with the study.
    """
    found = []
    for path in paths:
        try:
            instance = read_instance(path, max_bytes=settings.max_file_bytes, headers_only=True)
        except (InputError, OSError):
            continue
        if instance is not None:
            found.append(instance)
    if not found:
        return frozenset()
    detected = detect_sequences(StudyFolder.of(found).facts, overrides=overrides)
    return frozenset(each.role for each in detected.volumes if each.role is not None)


def open_study(settings: Settings, folder: Path) -> StudyFolder:
    """Read a folder within the limits of the settings; see ``StudyFolder.read`` for errors."""
    return StudyFolder.read(
        folder,
        max_slices=settings.max_slices,
        max_file_bytes=settings.max_file_bytes,
        max_pixels=settings.max_pixels,
    )
