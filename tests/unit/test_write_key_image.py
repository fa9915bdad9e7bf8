import copy
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset

from service.domain.errors import GeometryError, SelfCheckError
from service.domain.geometry import Geometry
from service.domain.volume import Volume
from service.stages.check_key_image import check_key_image
from service.stages.result_object import encode
from service.stages.write_key_image import write_key_image
from tests.results import IDENTITY
from tests.strategies import mr_series

IMAGE = Volume(np.ones((3, 6, 8), np.int16), Geometry(np.eye(4), (3, 6, 8), "1.2.3"))
SERIES = mr_series(IMAGE)


def picture(rows: int = 7, columns: int = 5) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (rows, columns, 3), np.uint8)
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def key_image(png: bytes) -> Dataset:
    return write_key_image(png, SERIES, IDENTITY)


@pytest.mark.parametrize(("rows", "columns"), [(7, 5), (8, 4)])
def test_pixels_are_the_pictures_and_of_even_length(rows: int, columns: int) -> None:
    png = picture(rows, columns)
    written = key_image(png)
    check_key_image(written, png)
    assert len(dcmread(BytesIO(encode(written))).PixelData) % 2 == 0
    assert (written.Rows, written.Columns) == (rows, columns)


def test_it_belongs_to_the_study_and_claims_no_scale_or_direction() -> None:
    written = key_image(picture())
    assert written.StudyInstanceUID == SERIES[0].StudyInstanceUID
    assert written.PatientName == SERIES[0].PatientName
    assert written.SeriesInstanceUID != SERIES[0].SeriesInstanceUID
    assert written.BurnedInAnnotation == "NO"
    assert not written.PatientOrientation
    assert "PixelSpacing" not in written
    assert "RESEARCH USE ONLY" in written.SeriesDescription


@pytest.mark.parametrize(("values", "empty"), [({"BodyPartExamined": "BRAIN"}, False), ({}, True)])
def test_side_is_left_open_only_of_an_unknown_body_part(
    values: dict[str, Any], empty: bool
) -> None:
    series = mr_series(IMAGE, **values)
    assert ("Laterality" in write_key_image(picture(), series, IDENTITY)) == empty


def test_same_input_gives_the_same_bytes() -> None:
    png = picture()
    assert encode(key_image(png)) == encode(key_image(png))
    assert "DateOfSecondaryCapture" not in key_image(png)


def test_a_source_without_study_is_refused() -> None:
    series = [copy.deepcopy(instance) for instance in SERIES]
    del series[0].StudyInstanceUID
    with pytest.raises(GeometryError, match="StudyInstanceUID"):
        write_key_image(picture(), series, IDENTITY)


def test_self_check_refuses_other_pixels_and_a_missing_notice() -> None:
    png = picture()
    with pytest.raises(SelfCheckError, match="not the preview's"):
        check_key_image(key_image(picture(6, 6)), png)
    unlabelled = key_image(png)
    unlabelled.SeriesDescription = "key image"
    with pytest.raises(SelfCheckError, match="lacks the notice"):
        check_key_image(unlabelled, png)
    cut = key_image(png)
    cut.PixelData = cut.PixelData[:10]
    with pytest.raises(SelfCheckError, match="cannot be read back"):
        check_key_image(cut, png)
