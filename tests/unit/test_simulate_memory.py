"""Processes that make many cases keep freed memory, and do not grow for ever."""

import platform
import subprocess
import sys

import pytest

GNU = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="memory is kept with the GNU C library alone"
)
SCRIPT = """
import numpy as np
from training.simulate import memory

if {keep}:
    memory.keep_freed_memory()
before = memory.resident_bytes()
filled = np.ones(2 * 10**8, np.uint8)
del filled
held = memory.resident_bytes() - before
memory.MOST_BYTES = memory.resident_bytes() + {room}
memory.give_back_excess()
left = memory.resident_bytes() - before
assert held > 1.5e8 if {keep} else held < 5e7, held
assert left < 5e7 if {room} < 0 else abs(left - held) < 5e7, left
"""


@GNU
@pytest.mark.parametrize(("keep", "room"), [(True, -1), (True, 10**8), (False, 10**8)])
def test_freed_memory_is_kept_until_there_is_too_much(keep: bool, room: int) -> None:
    script = SCRIPT.format(keep=keep, room=room)
    run = subprocess.run(
        [sys.executable, "-c", script], check=False, capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 0, run.stderr
