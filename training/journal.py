"""What people see of a training: a progress bar, one line of JSON a step, and TensorBoard."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch.utils.tensorboard import SummaryWriter

LOG = "log.jsonl"
CURVES = "curves"


class Journal:
    """Writes the course of a run into its folder; a context manager.

    Parameters
    ----------
    folder : Path
        Of the run; lines are added to a log that is there.
    done, steps : int
        Steps that an earlier process has made, and all of them.
    writes : bool
        False for the other processes of a training: they show and write nothing.
    """

    def __init__(self, folder: Path, done: int, steps: int, *, writes: bool = True) -> None:
        self._writes = writes
        if not writes:
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        self._bar = Progress(*columns)
        self._task = self._bar.add_task("training", total=steps, completed=done)
        self._log = (folder / LOG).open("a")
        # Steps that a killed process has noted after its last checkpoint are made again.
        self._curves = SummaryWriter(str(folder / CURVES), purge_step=done + 1)
        self._started = time.monotonic()

    def __enter__(self) -> Self:
        if self._writes:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._writes:
            self._bar.stop()
            self._log.close()
            self._curves.close()

    def note(self, step: int, values: Mapping[str, float]) -> None:
        """Note what a step gave, under the names of the mapping."""
        if not self._writes:
            return
        self._bar.update(self._task, completed=step, description=f"loss {values['loss']:.3f}")
        seconds = round(time.monotonic() - self._started, 1)
        self._log.write(json.dumps({"step": step, **values, "seconds": seconds}) + "\n")
        for name, value in values.items():
            self._curves.add_scalar(name, value, step)

    def flush(self) -> None:
        """Bring everything to the disk."""
        if self._writes:
            self._log.flush()
            self._curves.flush()
