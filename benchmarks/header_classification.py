"""How fast a study is classified by its headers, beside what merely parsing them takes.

``python -m benchmarks.header_classification`` makes a study of 2000 instances from the headers of
the demo study, or of the series below ``--like FOLDER``, and measures in one run: parsing every
header with pydicom and nothing else, classifying by headers, and classifying with all pixels
read and checked. The best of three runs counts; ratios are to mere parsing.
"""

import argparse
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.tag import Tag
from pydicom.uid import MRImageStorage, generate_uid

from service.bootstrap.local_study import classify_folder
from service.settings import Settings

SERIES, SLICES = 20, 100
RUNS = 3
DEMO = Path(__file__).resolve().parents[1] / "examples" / "demo-study.zip"


def make_study(sources: list[Path], folder: Path) -> None:
    """Write a study of `SERIES` series of `SLICES` slices, each like one of the given images."""
    for series, source in enumerate(islice(cycle(sources), SERIES)):
        image = dcmread(source)
        # Zeros behind the pixels of a file read like an element, and may not be written.
        image.pop(Tag(0, 0), None)
        image.StudyInstanceUID, image.PatientID = "1.2.3", "BENCHMARK"
        image.SeriesInstanceUID = generate_uid()
        first, cosines = (
            np.array(image[keyword].value, float)
            for keyword in ("ImagePositionPatient", "ImageOrientationPatient")
        )
        for index in range(SLICES):
            position = first + 3.0 * index * np.cross(cosines[:3], cosines[3:])
            image.ImagePositionPatient = [f"{value:.4f}" for value in position]
            image.InstanceNumber = index + 1
            image.SOPInstanceUID = generate_uid()
            image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
            image.save_as(folder / f"{series:03d}-{index:03d}.dcm")


def one_of_each(folder: Path) -> list[Path]:
    """Return one classic MR image of every folder of a series."""
    found = []
    for series in sorted({path.parent for path in folder.rglob("*.dcm")}):
        images = sorted(series.glob("*.dcm"))
        found += [
            path for path in (images[:1], images[::10])[series == folder] if _is_classic(path)
        ]
    return found


def _is_classic(path: Path) -> bool:
    header = dcmread(path, stop_before_pixels=True)
    return header.SOPClassUID == MRImageStorage and "ImagePositionPatient" in header


def best_of(action: Callable[[], object]) -> float:
    """Return the shortest time of some runs, in seconds."""
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    """Make the study, measure, print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--like", type=Path, help="Folder with series to take headers from.")
    like = parser.parse_args().like
    with tempfile.TemporaryDirectory() as place:
        study = Path(place) / "study"
        study.mkdir()
        if like is None:
            like = Path(place) / "demo"
            with zipfile.ZipFile(DEMO) as archive:
                archive.extractall(like)
        make_study(one_of_each(like), study)
        sys.stdout.write(measured(study))


def measured(study: Path) -> str:
    """Return the table of times and ratios."""
    settings = Settings.load()
    files = sorted(study.iterdir())
    elements = sum(len(dcmread(path, stop_before_pixels=True)) for path in files[::50])
    rows = {
        "parse headers with pydicom": best_of(
            lambda: [dcmread(path, stop_before_pixels=True) for path in files]
        ),
        "classify by headers": best_of(
            lambda: classify_folder(settings, study, (), with_pixels=False)
        ),
        "classify, all pixels checked": best_of(lambda: classify_folder(settings, study, ())),
    }
    base = next(iter(rows.values()))
    lines = [f"{len(files)} instances, about {elements // len(files[::50])} elements each"]
    lines += [f"{name:<30} {took:6.2f} s  {took / base:5.2f} x" for name, took in rows.items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
