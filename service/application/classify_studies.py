"""Say what every series of some studies is and what would be used of it, without analysing any."""

from collections.abc import Callable, Sequence
from functools import lru_cache

from pydicom.dataset import Dataset

from service.application.ports import Study
from service.domain.classification_report import ClassificationReport
from service.domain.errors import InputError
from service.domain.override import SiteOverride
from service.domain.study import VolumeFacts
from service.domain.volume import Volume
from service.stages.assemble_volume import assemble_volume
from service.stages.detect_sequences import detect_sequences
from service.stages.series_pixels import ReadVoxels
from service.stages.write_classification import write_classification


def classify_studies(
    studies: Sequence[Study],
    overrides: Sequence[SiteOverride],
    *,
    with_pixels: bool,
    ignored_files: int = 0,
    damaged_files: tuple[str, ...] = (),
) -> ClassificationReport:
    """Detect the sequences of every study.

    Parameters
    ----------
    studies : sequence of Study
        Any number; those without a single image too.
    overrides : sequence of SiteOverride
        What the site knows better.
    with_pixels : bool
        Whether pixels may be read where headers leave doubt.
    """
    found = [
        (
            study.facts,
            detect_sequences(
                study.facts,
                overrides=overrides,
                read_voxels=voxel_reader(study.datasets) if with_pixels else None,
            ),
        )
        for study in studies
    ]
    return write_classification(
        found, pixels_read=with_pixels, ignored_files=ignored_files, damaged_files=damaged_files
    )


def voxel_reader(read_series: Callable[[str], list[Dataset]]) -> ReadVoxels:
    """Return what reads the voxels of a volume, None where they cannot be read.

    Pixels only add to the evidence of headers: what cannot be decoded here is refused by name
    later, if it is used at all. The series at hand is kept in memory, no other.
    """
    read_once = lru_cache(maxsize=1)(read_series)

    def read_voxels(volume: VolumeFacts) -> Volume | None:
        try:
            datasets = read_once(volume.series.series_instance_uid)
            return assemble_volume(volume, datasets).volume
        except InputError:
            return None

    return read_voxels
