"""The simulator's arteries against those of a real MR angiogram, where there is one."""

from pathlib import Path

import pytest

from benchmarks.artery_course import align, compare, read_angiogram, table_tree, told

pytestmark = pytest.mark.real_data

# Generous bounds on the mean distance from the table's vessel to the angiogram's, mm: as it lies
# after one similarity for the whole tree, and after a shift of its own.
BOUNDS = {"ICA": (5, 4), "M1": (4, 3), "M2I": (7, 4), "A1": (5, 3.5), "A2": (5, 3), "BA": (6, 3.5)}


def test_courses_are_those_of_a_real_tree(shared_data: Path) -> None:
    path = shared_data / "simulator" / "arteries" / "chris_MRA.nii.gz"
    if not path.is_file():
        pytest.skip("real angiogram: simulator/arteries/chris_MRA.nii.gz is not in the data")
    real = read_angiogram(path)
    tree = table_tree()
    matrix = align(tree, real)
    compared = compare(tree, real, matrix)
    for name, (as_it_lies, shifted) in BOUNDS.items():
        for side in ("_R", "_L") if name != "BA" else ("",):
            row = compared[name + side]
            assert row.there[0] < as_it_lies, name + side
            assert row.shifted[0] < shifted, name + side
            assert row.angle_degrees < 35, name + side
    assert "M1_R" in told(matrix, compared)
