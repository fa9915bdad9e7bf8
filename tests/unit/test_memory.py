"""Processes that make many cases keep freed memory during a case, and give it back after it."""

import platform
import subprocess
import sys

import pytest

SCRIPT = """
import resource
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from training import memory

def held():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

if {keep}:
    memory.keep_freed_memory()
before = held()

def fill():
    filled = [np.ones(10**8, np.uint8) for _ in range(2)]
    assert held() - before > 1.8e8

with ThreadPoolExecutor(1) as pool:
    pool.submit(fill).result() if {thread} else fill()
kept = held() - before
assert kept > 1.8e8 if {keep} else kept < 5e7, kept
large = np.ones(2 * 10**8, np.uint8)
del large
assert held() - before < kept + 5e7, "a large array is never kept"
memory.give_back_freed()
assert held() - before < 5e7, held() - before
"""


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="memory is kept with the GNU C library alone"
)
@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("thread", [True, False])
def test_freed_memory_is_kept_until_it_is_given_back(keep: bool, thread: bool) -> None:
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(keep=keep, thread=thread)],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode == 0, run.stderr
