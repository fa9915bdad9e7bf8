"""Which volumes of diffusion series become DWI: b-values, directions and their trace."""

from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from service.domain.sequence import Role, SequenceLabel
from tests.unit.test_detect_sequences import (
    CALCULATED,
    GE_DWI,
    PHILIPS,
    TRACE,
    Header,
    again,
    codes,
    detected,
    images,
    splits,
)


def test_b0_in_a_trace_series_is_parted(tmp_path: Path) -> None:
    weighted = images({**TRACE, "DiffusionBValue": 1000.0})
    series = [weighted]
    for b_value in (0.0, 500.0):
        name = f"*ep_b{b_value:g}t"
        series.append(again(weighted, name, DiffusionBValue=b_value, SequenceName=name))
    found = detected(tmp_path, *series)
    assert [split["b_value"] for split in splits(found)] == ["0", "500", "1000"]
    assert found.of_role[Role.DWI].volume.split["b_value"] == "1000"
    assert sorted(codes(found)) == ["NOT_AN_INPUT", "ROLE_TAKEN"]


def test_weak_weighting_is_refused(tmp_path: Path) -> None:
    found = detected(tmp_path, images({**TRACE, "DiffusionBValue": 300.0}))
    assert codes(found) == ["LOW_B_VALUE"]


def test_measured_beats_calculated_b_value(tmp_path: Path) -> None:
    found = detected(tmp_path, images(CALCULATED), images(TRACE))
    assert found.of_role[Role.DWI].volume.series.description == TRACE["SeriesDescription"]
    assert "measured b-value" in found.of_role[Role.DWI].role_reason


def test_volumes_of_unknown_b_value_are_refused_where_one_may_be_b0(tmp_path: Path) -> None:
    header = {"SeriesDescription": "Difusión", "ScanningSequence": "EP", "EchoTime": 90.0}
    first = images(header)
    found = detected(tmp_path, first, again(first, "second"))
    assert splits(found) == [{"repeat": "1"}, {"repeat": "2"}]
    assert codes(found) == ["UNKNOWN_B_VALUE", "UNKNOWN_B_VALUE"]


def directions(header: Header, b_value: float, count: int) -> list[list[Dataset]]:
    """Volumes of one series, one gradient direction each; b-values differ as scanners do it."""
    first = images(header)
    found = []
    for index in range(count):
        turn = 2 * np.pi * index / count
        found.append(
            again(
                first,
                f"{b_value} {index}",
                DiffusionBValue=b_value + index,
                DiffusionDirectionality="DIRECTIONAL",
                DiffusionGradientOrientation=[float(np.cos(turn)), float(np.sin(turn)), 0.0],
            )
        )
    return found


DTI = {
    **PHILIPS,
    "SeriesDescription": "DTI_32dir",
    "ScanningSequence": ["EP", "SE"],
    "EchoTime": 90.0,
}


def test_directions_make_a_trace_of_the_best_shell(tmp_path: Path) -> None:
    unweighted = again(images(DTI), "b0", DiffusionBValue=0.0)
    found = detected(tmp_path, unweighted, *directions(DTI, 1000, 3), *directions(DTI, 2500, 4))
    members = found.derived_roles[Role.DWI]
    assert [volume.volume.split["b_value"] for volume in members] == ["1000", "1001", "1002"]
    assert all(volume.role is Role.DWI for volume in members)
    assert Role.DWI not in found.of_role
    assert Role.DWI not in found.missing_roles
    assert "no trace image; its directions, 3 in all" in members[0].role_reason
    assert codes(found).count("ROLE_TAKEN") == 4


def test_a_trace_is_better_than_its_directions(tmp_path: Path) -> None:
    found = detected(tmp_path, images(TRACE), *directions(DTI, 1000, 3))
    assert found.of_role[Role.DWI].classification.label is SequenceLabel.DWI
    assert not found.derived_roles


def test_appended_isotropic_map_is_the_trace(tmp_path: Path) -> None:
    raw = directions(DTI, 1000, 3)
    isotropic = again(raw[0], "iso", DiffusionDirectionality="ISOTROPIC", DiffusionBValue=1000.0)
    for instance in isotropic:
        del instance.DiffusionGradientOrientation
    found = detected(tmp_path, *raw, isotropic)
    assert found.of_role[Role.DWI].classification.label is SequenceLabel.DWI
    assert not found.derived_roles


def test_directions_on_another_grid_are_left_out(tmp_path: Path) -> None:
    raw = directions(DTI, 1000, 3)
    for instance in raw[2]:
        x, y, z = instance.ImagePositionPatient
        instance.ImagePositionPatient = [x, y, z + 1]
    found = detected(tmp_path, *raw)
    assert len(found.derived_roles[Role.DWI]) == 2
    assert codes(found) == ["OTHER_GRID"]


def test_ge_b_values_lose_their_bias(tmp_path: Path) -> None:
    series = images(GE_DWI)
    unweighted = again(series, "b0")
    for members, b_value in ((series, 1_000_001_000), (unweighted, 1_000_000_000)):
        for instance in members:
            instance.add_new(0x00430010, "LO", "GEMS_PARM_01")
            instance.add_new(0x00431039, "IS", [b_value, 8, 0, 0])
    found = detected(tmp_path, series, unweighted)
    assert splits(found) == [{"b_value": "0"}, {"b_value": "1000"}]
    assert found.of_role[Role.DWI].volume.split == {"b_value": "1000"}
