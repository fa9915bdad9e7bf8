"""The simulator's arteries against those of a real MR angiogram, where there is one."""

from pathlib import Path

import pytest

from benchmarks.artery_course import align, compare, read_angiogram, table_tree, told

pytestmark = pytest.mark.real_data

# Bounds on the mean distance from the table's vessel to the angiogram's in mm, half a mm above what
# was measured on the worse side: as it lies after one similarity for the whole tree, and after a
# shift of its own.
BOUNDS = {
    "ICA": (4.2, 3.6),
    "M1": (2.6, 2.2),
    "M2S": (6.6, 3.5),
    "M2I": (5.4, 3.4),
    "A1": (3.5, 2.6),
    "A2": (3.0, 2.0),
    "BA": (3.9, 2.3),
    "P2": (6.7, 2.7),
}


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
