"""A damaged file is read, ignored or refused by name, never more than that."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from service.adapters.instance_files import read_instance
from service.domain.errors import InputError
from service.domain.geometry import Geometry
from service.domain.volume import Volume
from tests.strategies import enhanced_mr, mr_series, write_instances

AXES = [[0, 0, 1], [0, 1, 0], [1, 0, 0]]


def contents() -> list[bytes]:
    """A classic and an enhanced instance as files."""
    grid = Geometry.from_components(origin=(0, 0, 0), axes=AXES, spacing=(3, 1, 1), shape=(2, 3, 3))
    volume = Volume(np.arange(18).reshape(2, 3, 3), grid)
    with TemporaryDirectory() as folder:
        paths = write_instances([mr_series(volume)[0], enhanced_mr(volume)], Path(folder))
        return [path.read_bytes() for path in paths]


WHOLE = contents()
# Places (as shares of the length) and what is written there.
DAMAGE = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=4)


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(WHOLE), DAMAGE)
def test_changed_bytes(whole: bytes, damage: list[tuple[float, int]]) -> None:
    content = bytearray(whole)
    for share, byte in damage:
        content[int(share * (len(content) - 1))] = byte
    assert_read_or_refused(bytes(content))


@settings(deadline=None, max_examples=100)
@given(st.sampled_from(WHOLE), st.floats(0, 1))
def test_early_end(whole: bytes, share: float) -> None:
    assert_read_or_refused(whole[: int(share * len(whole))])


def assert_read_or_refused(content: bytes) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        path.write_bytes(content)
        try:
            found = read_instance(path, max_bytes=1 << 30)
        except InputError:
            return
    assert found is None or found.planes or not found.is_mr_image
