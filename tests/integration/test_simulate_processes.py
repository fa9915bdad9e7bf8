"""One seed, one case: the same bytes whatever the number of processes."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from service.domain.sequence import Role
from training.simulate.batch import Recipe, orders, run
from training.simulate.examine import Options, simulate_case
from training.simulate.formats import Format
from training.simulate.site import Site, load_sites

SEED, COUNT = 21, 4


def _sites() -> tuple[Site, Site]:
    """Thick slices with one echo, and SWI: two or three sequences are enough, and quick."""
    missing = {Role.FLAIR: 1.0, Role.TOF: 1.0}
    thick, swi = (load_sites().sites[name] for name in "DB")
    return replace(thick, missing=missing), replace(swi, missing=missing | {Role.ADC: 1.0})


def _files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _make(folder: Path, processes: int) -> dict[str, bytes]:
    simulate = partial(simulate_case, options=Options(device="cpu"))
    recipe = Recipe(simulate, folder, Format.NIFTI)
    outcomes = list(run(recipe, orders(SEED, COUNT, _sites()), processes))
    assert [outcome.error for outcome in outcomes] == [None] * COUNT
    return _files(folder)


def test_cases_are_identical_in_one_and_in_four_processes(tmp_path: Path) -> None:
    alone, together = (_make(tmp_path / str(number), number) for number in (1, 4))
    images = [name for name in alone if name.endswith("T2starw.nii.gz")]
    assert len(images) >= COUNT
    assert alone.keys() == together.keys()
    assert [name for name in alone if alone[name] != together[name]] == []


def test_threads_of_the_process_around_do_not_matter(tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    only = replace(_sites()[0], missing={role: 1.0 for role in Role if role is not Role.SUSC})
    try:
        found = []
        for number in (1, 2):
            torch.set_num_threads(number)
            found.append(simulate_case(SEED, only, Options(device="cpu")))
            assert torch.get_num_threads() == number
    finally:
        torch.set_num_threads(threads)
    one, other = (case.volumes[Role.SUSC].voxels.tobytes() for case in found)
    assert one == other
