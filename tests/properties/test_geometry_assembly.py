"""Every voxel lands where the headers say, whatever the orientation, order and storage."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from service.adapters.header_facts import header_facts, planes_of
from service.domain.errors import GeometryError
from service.domain.study import SeriesFacts, VolumeFacts
from service.domain.volume import Volume
from service.stages.assemble_volume import assemble_volume
from service.stages.plane_grid import SPACING_TOLERANCE
from tests.strategies import enhanced_mr, mr_series, volumes

INTERCEPTS = st.sampled_from([0.0, -1024.0, -4096.0, 12.5])
SLOPES = st.sampled_from([1.0, 2.0, 0.5, 3.90625])


def volume_facts(
    instances: Sequence[Dataset], *, order: Sequence[int] | None = None
) -> VolumeFacts:
    planes = [
        plane for instance in instances for plane in planes_of(instance, header_facts(instance))
    ]
    shuffled = tuple(planes[index] for index in order) if order else tuple(planes)
    series = SeriesFacts(
        series_instance_uid=str(instances[0].SeriesInstanceUID),
        series_number=1,
        description="",
        modality="MR",
        sop_class_uid=str(instances[0].SOPClassUID),
        frame_of_reference_uid=str(instances[0].FrameOfReferenceUID),
        planes=shuffled,
        attributes=header_facts(instances[0]),
    )
    return VolumeFacts("volume", series, shuffled)


def assert_same_in_patient_space(found: Volume, meant: Volume, tolerance: float) -> None:
    """Each voxel of the source is found again at its own place in LPS mm."""
    indices = np.argwhere(np.ones(meant.geometry.shape, bool))
    there = found.geometry.to_index(meant.geometry.to_lps(indices))
    assert np.abs(there - np.rint(there)).max() < 1e-3
    at = tuple(np.rint(there).astype(int).T)
    assert np.abs(found.voxels[at] - meant.voxels[tuple(indices.T)]).max() <= tolerance


@settings(deadline=None, max_examples=60)
@given(st.data(), volumes(), SLOPES, INTERCEPTS)
def test_classic_series_in_any_order(
    data: st.DataObject, meant: Volume, slope: float, intercept: float
) -> None:
    series = mr_series(meant, slope=slope, intercept=intercept)
    order = data.draw(st.permutations(range(len(series))))
    found = assemble_volume(volume_facts(series, order=order), series)
    assert_same_in_patient_space(found.volume, meant, slope / 2)
    assert found.volume.geometry.frame_of_reference_uid == meant.geometry.frame_of_reference_uid
    uids = [plane.sop_instance_uid for plane in found.source_planes]
    assert uids == [instance.SOPInstanceUID for instance in series]


@settings(deadline=None, max_examples=40)
@given(st.data(), volumes(), SLOPES, INTERCEPTS)
def test_enhanced_multi_frame_in_any_order(
    data: st.DataObject, meant: Volume, slope: float, intercept: float
) -> None:
    instance = enhanced_mr(meant, slope=slope, intercept=intercept)
    order = data.draw(st.permutations(range(len(meant.voxels))))
    found = assemble_volume(volume_facts([instance], order=order), [instance])
    assert_same_in_patient_space(found.volume, meant, slope / 2)
    frames = [plane.frame_number for plane in found.source_planes]
    assert frames == list(range(1, len(meant.voxels) + 1))


@settings(deadline=None, max_examples=40)
@given(volumes(), st.booleans())
def test_stacks_stored_against_their_normal_are_turned(meant: Volume, enhanced: bool) -> None:
    turned = Volume(meant.voxels[::-1], meant.geometry)
    series = [enhanced_mr(turned)] if enhanced else mr_series(turned)
    found = assemble_volume(volume_facts(series), series)
    cosines = np.array(found.source_planes[0].orientation)
    normal = np.cross(cosines[:3], cosines[3:])
    assert np.dot(found.volume.geometry.axes[0], normal) == pytest.approx(1.0, abs=1e-6)


@settings(deadline=None, max_examples=40)
@given(st.data(), volumes(max_slices=8))
def test_a_missing_slice_is_never_bridged(data: st.DataObject, meant: Volume) -> None:
    assume(len(meant.voxels) >= 5)
    series = mr_series(meant)
    missing = data.draw(st.integers(1, len(series) - 2))
    left = [instance for index, instance in enumerate(series) if index != missing]
    with pytest.raises(GeometryError, match="not equally spaced"):
        assemble_volume(volume_facts(left), left)


@settings(deadline=None, max_examples=40)
@given(st.data(), volumes(max_slices=6), st.floats(0.3, 1.0))
def test_a_slice_moved_in_its_plane_is_refused(
    data: st.DataObject, meant: Volume, shift_mm: float
) -> None:
    series = mr_series(meant)
    moved = data.draw(st.integers(1, len(series) - 1))
    along = meant.geometry.axes[2] * shift_mm
    position = np.add(np.array(series[moved].ImagePositionPatient, float), along)
    series[moved].ImagePositionPatient = [round(float(mm), 9) for mm in position]
    with pytest.raises(GeometryError, match="off the grid"):
        assemble_volume(volume_facts(series), series)


@settings(deadline=None, max_examples=40)
@given(st.data(), volumes(max_slices=8), st.floats(2.0, 20.0))
def test_unequal_gaps_are_refused(data: st.DataObject, meant: Volume, times: float) -> None:
    assume(len(meant.voxels) >= 5)
    series = mr_series(meant)
    moved = data.draw(st.integers(1, len(series) - 2))
    spacing = meant.geometry.spacing[0]
    step = meant.geometry.axes[0] * spacing * min(times * SPACING_TOLERANCE, 0.4)
    position = np.add(np.array(series[moved].ImagePositionPatient, float), step)
    series[moved].ImagePositionPatient = [round(float(mm), 9) for mm in position]
    with pytest.raises(GeometryError):
        assemble_volume(volume_facts(series), series)
