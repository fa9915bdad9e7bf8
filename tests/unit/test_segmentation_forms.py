"""The forms that a segmentation may have, and what refers to it."""

import numpy as np
import pytest
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from service.domain.errors import SelfCheckError
from service.domain.segmentation_form import SegmentationForm
from service.domain.volume import Volume
from service.stages.check_segmentation import check_segmentation
from service.stages.check_structured_report import check_structured_report
from service.stages.result_object import encode
from service.stages.write_structured_report import write_structured_report
from tests.results import GRID, IDENTITY, evidence_of, labels, report_of, segmentation_of
from tests.strategies import mr_series

BINARY, PER_FRAME, LABELMAP = SegmentationForm
SERIES = mr_series(Volume(np.ones(GRID.shape, np.int16), GRID))
SEGMENTATION_STORAGE = "1.2.840.10008.5.1.4.1.1.66.4"
LABEL_MAP_STORAGE = "1.2.840.10008.5.1.4.1.1.66.7"


def segmentation(form: SegmentationForm, findings: int = 1) -> Dataset:
    return segmentation_of(labels(GRID, findings), SERIES, form)


@pytest.mark.parametrize("form", SegmentationForm)
@pytest.mark.parametrize("findings", [1, 2])
def test_every_form_holds_the_mask_in_the_same_bytes_each_time(
    form: SegmentationForm, findings: int
) -> None:
    written = segmentation(form, findings)
    check_segmentation(written, labels(GRID, findings), form)
    assert encode(written) == encode(segmentation(form, findings))


def test_every_frame_names_the_one_segment_only_where_asked() -> None:
    shared = segmentation(BINARY).SharedFunctionalGroupsSequence[0]
    assert "SegmentIdentificationSequence" in shared
    written = segmentation(PER_FRAME)
    assert "SegmentIdentificationSequence" not in written.SharedFunctionalGroupsSequence[0]
    for frame in written.PerFrameFunctionalGroupsSequence:
        assert frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber == 1


def test_several_segments_are_named_in_every_frame_anyway() -> None:
    assert encode(segmentation(PER_FRAME, 2)) == encode(segmentation(BINARY, 2))


def test_a_label_map_is_a_class_of_its_own() -> None:
    assert segmentation(BINARY).SOPClassUID == SEGMENTATION_STORAGE
    assert segmentation(LABELMAP).SOPClassUID == LABEL_MAP_STORAGE
    assert segmentation(LABELMAP).SegmentationType == "LABELMAP"


@pytest.mark.parametrize(("written", "wanted"), [(BINARY, LABELMAP), (LABELMAP, BINARY)])
def test_another_type_than_asked_for_is_refused(
    written: SegmentationForm, wanted: SegmentationForm
) -> None:
    with pytest.raises(SelfCheckError, match="type is"):
        check_segmentation(segmentation(written), labels(GRID, 1), wanted)


def test_a_frame_that_names_no_segment_is_refused_where_each_must() -> None:
    with pytest.raises(SelfCheckError, match="a frame names no segment"):
        check_segmentation(segmentation(BINARY), labels(GRID, 1), PER_FRAME)


def test_a_wrong_number_in_a_label_map_is_noticed() -> None:
    written = segmentation(LABELMAP, 2)
    pixels = np.frombuffer(written.PixelData, np.uint8).copy()
    pixels[pixels == 2] = 1
    written.PixelData = pixels.tobytes()
    with pytest.raises(SelfCheckError, match="voxels differ"):
        check_segmentation(written, labels(GRID, 2), LABELMAP)


@pytest.mark.parametrize("form", SegmentationForm)
def test_the_structured_report_refers_to_what_is_there(form: SegmentationForm) -> None:
    mask = labels(GRID, 2)
    written = segmentation_of(mask, SERIES, form)
    report = report_of(mask, SERIES)
    told = write_structured_report(report, written, SERIES, evidence_of(SERIES), IDENTITY)
    check_structured_report(told, report, written)
    classes = {
        str(item.ReferencedSOPClassUID)
        for item in evidence_in(told)
        if item.ReferencedSOPInstanceUID == written.SOPInstanceUID
    }
    assert classes == {written.SOPClassUID}


def evidence_in(instance: Dataset) -> list[Dataset]:
    """Return all items of a data set that refer to an object, however deep."""
    found: list[Dataset] = []

    def visit(holder: Dataset, element: DataElement) -> None:
        if element.keyword == "ReferencedSOPInstanceUID":
            found.append(holder)

    instance.walk(visit)
    return found
