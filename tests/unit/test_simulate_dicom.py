"""Simulated DICOM studies of five kinds of scanners, read back by pydicom alone."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from service.domain.geometry import Geometry
from service.domain.sequence import Role
from tests.simulated import simulated_case
from training.simulate.dicom.study import write_dicom
from training.simulate.exported import SIMULATED, Image, exported
from training.simulate.formats import Style
from training.simulate.site import Composition

# Series that hold each image; several images may share one.
PLACES = {
    Style.SIEMENS: {Image.SWI: 7, Image.SWI_PHASE: 5, Image.B0: 2, Image.TRACE: 2, Image.ADC: 3},
    Style.SIEMENS_XA: {Image.SWI: 7, Image.SWI_PHASE: 5, Image.B0: 4, Image.TRACE: 2, Image.ADC: 3},
    Style.GE: {Image.SWI: 3, Image.SWI_PHASE: 301, Image.B0: 2, Image.TRACE: 2, Image.ADC: 250},
    Style.PHILIPS: {
        Image.SWI: 301,
        Image.SWI_PHASE: 301,
        Image.B0: 201,
        Image.TRACE: 201,
        Image.ADC: 202,
    },
}
PLACES[Style.PHILIPS_ENHANCED] = PLACES[Style.PHILIPS]

Planes = list[tuple[Dataset, Dataset]]


def planes(files: list[Path]) -> dict[int, Planes]:
    """Return plane descriptions with their images by series, in the order of the pixels.

    A description has position, orientation, spacing and rescaling wherever they were found.
    """
    series: dict[int, Planes] = defaultdict(list)
    for file in files:
        image = pydicom.dcmread(file)
        for plane in frames(image):
            series[int(image.SeriesNumber)].append((plane, image))
    return series


def frames(image: Dataset) -> Iterator[Dataset]:
    if "PerFrameFunctionalGroupsSequence" not in image:
        yield image
        return
    for frame in image.PerFrameFunctionalGroupsSequence:
        flat = Dataset()
        for group in frame:
            if group.VR == "SQ" and not group.tag.is_private:
                flat.update(group.value[0])
        yield flat


def values(members: Planes) -> np.ndarray:
    """Return rescaled pixels of planes, (plane, row, column)."""
    images = list({id(image): image for _, image in members}.values())
    pixels = np.concatenate(
        [image.pixel_array.reshape(-1, image.Rows, image.Columns) for image in images]
    )
    scales = [
        (float(plane.get("RescaleSlope", 1)), float(plane.get("RescaleIntercept", 0)))
        for plane, _ in members
    ]
    slopes, intercepts = np.array(scales).T
    return np.asarray(pixels * slopes[:, None, None] + intercepts[:, None, None])


def weighting(plane: Dataset, image: Dataset, style: Style) -> float:
    """Return the b-value from where the maker puts it."""
    if style is Style.SIEMENS:
        return float(image[0x0019, 0x100C].value)
    if style is Style.GE:
        return float(int(image[0x0043, 0x1039].value[0]) % 1_000_000_000)
    if style is Style.PHILIPS:
        return float(image[0x2001, 0x1003].value)
    return float(plane.DiffusionBValue)


@pytest.fixture(scope="module", params=list(Style))
def style(request: pytest.FixtureRequest) -> Style:
    return Style(request.param)


@pytest.fixture(scope="module")
def written(style: Style, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Planes]:
    return planes(write_dicom(simulated_case(), tmp_path_factory.mktemp("study"), style))


def test_every_image_says_that_it_is_simulated(written: dict[int, Planes]) -> None:
    images = {
        image.SOPInstanceUID: image for members in written.values() for _, image in members
    }.values()
    assert {str(image.PatientName) for image in images} == {"SIMULATED^B0007"}
    assert {image.PatientID for image in images} == {"SIMULATED-B0007"}
    assert {image.ImageComments for image in images} == {SIMULATED}
    assert all("SIMULATED" in image.StudyDescription for image in images)
    assert all("Simulated" in image.ManufacturerModelName for image in images)
    assert len({image.StudyInstanceUID for image in images}) == 1
    assert len({image.FrameOfReferenceUID for image in images}) == 1


def test_images_lie_in_the_series_of_their_maker(style: Style, written: dict[int, Planes]) -> None:
    sizes: dict[int, int] = defaultdict(int)
    for part in exported(simulated_case(), style):
        sizes[PLACES[style].get(part.image, 0)] += len(part.stored.voxels)
    for number, size in sizes.items():
        if number:
            assert len(written[number]) == size
    assert sum(map(len, written.values())) == sum(sizes.values()) + 9


def assert_places(members: Planes, geometry: Geometry, first: int = 0) -> None:
    for index, (plane, image) in enumerate(members):
        cosines = np.array(plane.ImageOrientationPatient, float)
        row_mm, column_mm = (float(value) for value in plane.PixelSpacing)
        corner = (
            np.array(plane.ImagePositionPatient, float)
            + (image.Rows - 1) * row_mm * cosines[3:]
            + (image.Columns - 1) * column_mm * cosines[:3]
        )
        last = (index - first, image.Rows - 1, image.Columns - 1)
        np.testing.assert_allclose(corner, geometry.to_lps(last), atol=1e-3)


@pytest.mark.parametrize("backwards", [False, True])
def test_planes_lie_where_the_grid_has_them(style: Style, backwards: bool, tmp_path: Path) -> None:
    case = simulated_case(backwards=backwards)
    series = planes(write_dicom(case, tmp_path, style))
    grid = case.volumes[Role.SUSC].geometry
    members = series[PLACES[style][Image.SWI]][: grid.shape[0]]
    if style is Style.PHILIPS or style is Style.PHILIPS_ENHANCED:
        assert len(series[301]) == 2 * grid.shape[0]
    assert_places(members, grid)
    assert {float(plane.SpacingBetweenSlices) for plane, _ in members} == {2.5}
    flair = next(members for members in series.values() if len(members) == 23)
    assert_places(flair, case.volumes[Role.FLAIR].geometry)
    assert {float(plane.SliceThickness) for plane, _ in flair} == {5.5}
    assert {float(plane.SpacingBetweenSlices) for plane, _ in flair} == {6.0}


def test_phase_and_adc_are_read_back(style: Style, written: dict[int, Planes]) -> None:
    parts = {part.image: part for part in exported(simulated_case(), style)}
    count = len(parts[Image.SWI_PHASE].stored.voxels)
    phase = values(written[PLACES[style][Image.SWI_PHASE]])[-count:]
    np.testing.assert_allclose(phase, parts[Image.SWI_PHASE].stored.values, atol=1e-6)
    span = 4096 if style.vendor == "siemens" else 3142
    radians = simulated_case().volumes[Role.PHASE].voxels
    np.testing.assert_allclose(phase, radians * span / np.pi, atol=3)
    adc = values(written[PLACES[style][Image.ADC]])
    np.testing.assert_allclose(adc, parts[Image.ADC].stored.values, atol=1e-6)


def test_b_values_stand_where_the_maker_puts_them(style: Style, written: dict[int, Planes]) -> None:
    numbers = {PLACES[style][Image.B0], PLACES[style][Image.TRACE]}
    found = [weighting(*each, style) for number in numbers for each in written[number]]
    assert sorted(found) == [0.0] * 25 + [1000.0] * 25


def test_same_case_gives_same_bytes_and_other_content_other_uids(
    style: Style, tmp_path: Path
) -> None:
    case = simulated_case()
    few = replace(case, volumes={role: case.volumes[role] for role in (Role.SUSC, Role.DWI)})
    first, second, other = (
        write_dicom(each, tmp_path / name, style)
        for name, each in (
            ("one", few),
            ("two", few),
            ("three", replace(few, volumes={Role.SUSC: case.volumes[Role.SUSC]}, b0=None)),
        )
    )
    assert [file.read_bytes() for file in first] == [file.read_bytes() for file in second]
    uids = [
        {pydicom.dcmread(file, stop_before_pixels=True).StudyInstanceUID for file in files}
        for files in (first, other)
    ]
    assert uids[0].isdisjoint(uids[1])


def test_an_adc_map_alone_knows_its_b_value(tmp_path: Path) -> None:
    case = simulated_case()
    alone = replace(case, volumes={Role.ADC: case.volumes[Role.ADC]}, b0=None)
    series = planes(write_dicom(alone, tmp_path, Style.SIEMENS))
    assert sorted(series) == [3]
    assert series[3][0][1].SequenceName == "*ep_b0_1000"


def test_only_what_the_case_has_is_written(tmp_path: Path) -> None:
    case = simulated_case(Composition.MAGNITUDE)
    flair = replace(case, volumes={Role.FLAIR: case.volumes[Role.FLAIR]}, b0=None)
    series = planes(write_dicom(flair, tmp_path, Style.SIEMENS))
    assert sorted(series) == [1, 9]
    assert series[9][0][1].SeriesDescription == "t2_tirm_tra_dark-fluid"


@pytest.mark.parametrize("enhanced", [Style.SIEMENS_XA, Style.PHILIPS_ENHANCED])
def test_enhanced_frames_are_told_apart(enhanced: Style, tmp_path: Path) -> None:
    series = planes(write_dicom(simulated_case(), tmp_path, enhanced))
    for members in series.values():
        image = members[0][1]
        assert len({id(each) for _, each in members}) == 1
        assert image.NumberOfFrames == len(members)
        places = [tuple(plane.DimensionIndexValues) for plane, _ in members]
        assert len(set(places)) == len(members)
        assert {len(place) for place in places} == {len(image.DimensionIndexSequence)}


def test_magnitude_and_phase_of_one_object_are_mixed(tmp_path: Path) -> None:
    image = planes(write_dicom(simulated_case(), tmp_path, Style.PHILIPS_ENHANCED))[301][0][1]
    assert image.ComplexImageComponent == "MIXED"
    assert list(image.ImageType) == ["ORIGINAL", "PRIMARY", "T2_STAR", "MIXED"]
