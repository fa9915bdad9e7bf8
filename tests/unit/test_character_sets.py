"""Names in every alphabet: what is written of them in the objects of a result."""

from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset

from service.domain.volume import Volume
from service.stages.result_object import encode
from service.stages.write_key_image import write_key_image
from service.stages.write_structured_report import write_structured_report
from tests.results import GRID, IDENTITY, evidence_of, labels, report_of, segmentation_of
from tests.strategies import mr_series

# What scanners write (PS3.3 C.12.1.1.2, PS3.5 annexes H to K), and a name in it.
NAMES: list[tuple[str | list[str] | None, str]] = [
    (None, "Doe^Jane"),
    ("ISO_IR 100", "Müller^Jürgen"),
    ("ISO_IR 101", "Wałęsa^Łucja"),
    ("ISO_IR 144", "Иванов^Иван"),
    ("ISO_IR 192", "王^小东"),
    ("GB18030", "王^小东"),
    (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
    (["ISO 2022 IR 13", "ISO 2022 IR 87"], "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう"),
    (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동"),
]


def as_read(series: list[Dataset]) -> list[Dataset]:
    """Return the series as it is read from files."""
    return [dcmread(BytesIO(encode(instance))) for instance in series]


def objects_over(series: list[Dataset]) -> list[Dataset]:
    """Return segmentation, structured report and key image, read back."""
    mask = labels(GRID, 1)
    picture = BytesIO()
    Image.new("RGB", (8, 6), (9, 9, 9)).save(picture, format="PNG")
    segmentation = segmentation_of(mask, series)
    report, evidence = report_of(mask, series), evidence_of(series)
    told = write_structured_report(report, segmentation, series, evidence, IDENTITY)
    return as_read([segmentation, told, write_key_image(picture.getvalue(), series, IDENTITY)])


@pytest.mark.parametrize(("characters", "name"), NAMES)
def test_names_are_as_the_scanner_wrote_them(characters: str | list[str] | None, name: str) -> None:
    image = Volume(np.ones(GRID.shape, np.int16), GRID)
    values: dict[str, Any] = {} if characters is None else {"SpecificCharacterSet": characters}
    series = as_read(mr_series(image, PatientName=name, StudyDescription=name[:64], **values))
    assert str(series[0].PatientName) == name
    for written in objects_over(series):
        assert str(written.PatientName) == name
        assert written.StudyDescription == name[:64]


@pytest.mark.filterwarnings("ignore:Unknown encoding 'ISO_IR 999':UserWarning")
def test_a_character_set_that_nobody_knows_stops_no_result() -> None:
    image = Volume(np.ones(GRID.shape, np.int16), GRID)
    series = mr_series(image, PatientName="Doe^Jane", SpecificCharacterSet="ISO_IR 999")
    for written in objects_over(as_read(series)):
        assert str(written.PatientName) == "Doe^Jane"
        assert written.SpecificCharacterSet == "ISO_IR 192"
