"""Many cases in parallel processes, each written whole or not at all."""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from training.memory import give_back_freed, keep_freed_memory
from training.origin import OriginError, note_origin
from training.simulate.case import SIMULATOR_VERSION, Case
from training.simulate.dicom.study import write_dicom
from training.simulate.formats import Format, Style
from training.simulate.nifti import subject, write_bids, write_truth
from training.simulate.site import OptionError, Site

# Cases that are being written; a case in its own place is complete.
PARTIAL = ".partial"
# Options of all cases of a folder; BIDS leaves what lies under ``code`` to whoever made the data.
OPTIONS = Path("code") / "simulate.json"


@dataclass(frozen=True)
class Order:
    """One case to make: a patient at a site."""

    seed: int
    site: Site

    @property
    def name(self) -> str:
        """Name that the case will have: that of ``Case.name``."""
        return f"{self.site.name}{self.seed:04d}"


@dataclass(frozen=True)
class Outcome:
    """What became of an order; ``error`` is None where the case is there."""

    order: Order
    error: str | None = None


@dataclass(frozen=True)
class Recipe:
    """How orders become files. Travels to other processes.

    Attributes
    ----------
    simulate : callable (seed, site) -> Case
        A function of a module, or a partial of one.
    folder : Path
        Gets one folder a case (DICOM) or is the BIDS data set (NIfTI).
    form : Format
    style : Style or None
        None for that of each site's own scanner.
    """

    simulate: Callable[[int, Site], Case]
    folder: Path
    form: Format
    style: Style | None = None

    def is_there(self, order: Order) -> bool:
        """Whether an earlier run has finished the case."""
        return (self.folder / self._place(order.name)).is_dir()

    def make(self, order: Order) -> None:
        """Simulate and write one case, and put it in its place when it is complete."""
        place = self._place(order.name)
        partial = self.folder / PARTIAL / place
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        try:
            self._write(order, partial)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
            give_back_freed()

    def _write(self, order: Order, partial: Path) -> None:
        place = self._place(order.name)
        case = self.simulate(order.seed, order.site)
        if self.form is Format.DICOM:
            style = self.style or Style.of(order.site.vendor)
            write_dicom(case, partial / "dicom", style)
            write_truth(case, partial / "truth")
            partial.rename(self.folder / place)
        else:
            write_bids(case, partial, self.style)
            self._publish(partial, place)

    def _place(self, name: str) -> str:
        return subject(name) if self.form is Format.NIFTI else name

    def _publish(self, partial: Path, name: str) -> None:
        """Move the parts of a BIDS case to the data set: images last, they mean complete."""
        truth = Path("derivatives") / "truth"
        (self.folder / truth).mkdir(parents=True, exist_ok=True)
        (partial / name).mkdir(exist_ok=True)
        for description in (Path(), truth):
            file = description / "dataset_description.json"
            (partial / file).replace(self.folder / file)
        for part in (truth / name, Path(name)):
            shutil.rmtree(self.folder / part, ignore_errors=True)
            (partial / part).rename(self.folder / part)


def claim(folder: Path, options: Mapping[str, object]) -> None:
    """Note with which options the cases of a folder are made: all of them with the same.

    Parameters
    ----------
    folder : Path
        Created if it is not there.
    options : mapping
        As JSON holds them: those that decide what is in a case.

    Raises
    ------
    OptionError
        If the folder was made with other options; names the first that differs.
    """
    try:
        note_origin(folder, OPTIONS, {"simulator": SIMULATOR_VERSION, **options})
    except OriginError as exc:
        raise OptionError(str(exc)) from exc


def orders(seed: int, count: int, sites: Sequence[Site]) -> list[Order]:
    """Return cases of seeds ``seed`` to ``seed + count - 1``, sites taken in turn."""
    return [Order(seed + index, sites[index % len(sites)]) for index in range(count)]


def run(recipe: Recipe, wanted: Sequence[Order], processes: int) -> Iterator[Outcome]:
    """Make cases in parallel, in fresh processes, and yield outcomes as they come.

    A case that fails leaves the others alone.
    """
    context = get_context("spawn")
    with ProcessPoolExecutor(processes, context, initializer=keep_freed_memory) as pool:
        pending = {pool.submit(recipe.make, order): order for order in wanted}
        for future in as_completed(pending):
            problem = future.exception()
            error = None if problem is None else f"{type(problem).__name__}: {problem}"
            yield Outcome(pending[future], error)
    partial = recipe.folder / PARTIAL
    if partial.is_dir() and not any(partial.iterdir()):
        partial.rmdir()
