"""A key image, read back -> the preview that it must show."""

from io import BytesIO

import numpy as np
from pydicom import dcmread
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset

from service.domain.errors import SelfCheckError
from service.stages.result_object import encode
from service.stages.write_key_image import pixels_of


def check_key_image(key_image: Dataset, preview_png: bytes) -> None:
    """Write the object, read it back, and compare its pixels with the preview's.

    Raises
    ------
    SelfCheckError
        Naming what differs, or that the object cannot be read back at all.
    """
    with disable_value_validation():
        try:
            read = dcmread(BytesIO(encode(key_image)))
            same = np.array_equal(read.pixel_array, pixels_of(preview_png))
        except (AttributeError, LookupError, TypeError, ValueError) as exc:
            raise SelfCheckError(f"key image: it cannot be read back: {exc!r}") from exc
    if not same:
        raise SelfCheckError("key image: its pixels are not the preview's")
    if "RESEARCH USE ONLY" not in read.SeriesDescription:
        raise SelfCheckError("key image: SeriesDescription lacks the notice")
