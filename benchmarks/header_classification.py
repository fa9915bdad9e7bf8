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
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import MRImageStorage, generate_uid

from service.bootstrap.local_study import classify_folder
from service.settings import Settings

INSTANCES = 2000
RUNS = 3
DEMO = Path(__file__).resolve().parents[1] / "examples" / "demo-study.zip"


def make_study(sources: list[Path], folder: Path) -> None:
    """Write a study of `INSTANCES` instances that repeats the given ones under new identifiers."""
    for number, source in enumerate(islice(cycle(sources), INSTANCES)):
        instance = dcmread(source)
        turn = number // len(sources)
        instance.StudyInstanceUID = "1.2.3"
        instance.PatientID = "BENCHMARK"
        instance.SeriesInstanceUID = generate_uid(
            entropy_srcs=[instance.SeriesInstanceUID, str(turn)]
        )
        _renamed(instance).save_as(folder / f"{number:05d}.dcm")


def _renamed(instance: Dataset) -> Dataset:
    instance.SOPInstanceUID = generate_uid()
    instance.file_meta.MediaStorageSOPInstanceUID = instance.SOPInstanceUID
    return instance


def mr_images(folder: Path) -> Iterator[Path]:
    """Yield the classic MR images below a folder, at most ten of each series."""
    for series in sorted({path.parent for path in folder.rglob("*.dcm")}):
        images = [path for path in sorted(series.glob("*.dcm")) if _is_classic_mr(path)]
        yield from images[:10]


def _is_classic_mr(path: Path) -> bool:
    header = dcmread(path, stop_before_pixels=True)
    # A message of the network layer is no file: nothing of group 0000 can be written again.
    return bool(header.SOPClassUID == MRImageStorage) and min(header.keys()).group > 0


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
        make_study(list(mr_images(like)), study)
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
