"""Processes of images, run by buildah where there is no Docker engine.

They share this machine's network, so that ports are chosen; the root file system is not read-only,
so what a process wrote there is told afterwards.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from docker.check.composition import Service

ENVIRONMENT = {"STORAGE_DRIVER": "vfs", "BUILDAH_ISOLATION": "chroot", **os.environ}
STOP_S = 15.0
# Where a container may write: volumes, and what the composition puts into memory.
WRITABLE = ("data", "tmp", "proc", "sys", "dev", "run")


def buildah(*arguments: str) -> str:
    """Run buildah and return what it printed."""
    done = subprocess.run(
        ["buildah", *arguments], env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"buildah {arguments[0]}: {done.stderr[-2000:]}")
    return done.stdout.strip()


class Container:
    """A service's container; ends and is removed with the context.

    Parameters
    ----------
    mounts : sequence of str
        As ``--volume`` of buildah takes them.
    replaced : mapping
        Environment variables that differ from the composition's, because of chosen ports.
    """

    def __init__(
        self, service: Service, mounts: Sequence[str], replaced: dict[str, str], log: Path
    ) -> None:
        self.service = service
        self._options = [f"--volume={mount}" for mount in mounts]
        environment = {**service.environment, **replaced}
        self._options += [f"--env={key}={value}" for key, value in environment.items()]
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.name = buildah("from", f"localhost/{self.service.image}")
        self._begun = time.time()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        buildah("rm", self.name)

    def _command(self, command: Sequence[str]) -> list[str]:
        return ["buildah", "run", *self._options, self.name, "--", *command]

    def start(self) -> None:
        """Start the service's command."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command(self.service.command),
                env=ENVIRONMENT, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def run(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Run another command in it to its end."""
        return subprocess.run(
            self._command(command), env=ENVIRONMENT, capture_output=True, text=True, check=False
        )

    def health(self) -> bool:
        """Whether the check of the composition, or else that of the image, says it is well."""
        command = self.service.health or self._image_health()
        return self.run(command).returncode == 0

    def _image_health(self) -> tuple[str, ...]:
        return tuple(self._configuration()["Healthcheck"]["Test"][1:])

    def labels(self) -> dict[str, str]:
        """Return the labels of the image."""
        return dict(self._configuration()["Labels"])

    def _configuration(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(buildah("inspect", self.name))["Docker"]["config"]
        return told

    def written(self) -> list[str]:
        """Return files of the root file system that were changed since the start."""
        root = Path(buildah("mount", self.name))
        try:
            found = subprocess.run(
                ["find", root, "-xdev", "-type", "f", "-newermt", f"@{self._begun:.0f}"],
                capture_output=True, text=True, check=True,
            )  # fmt: skip
        finally:
            buildah("umount", self.name)
        paths = [Path(line).relative_to(root) for line in found.stdout.splitlines()]
        return [str(path) for path in paths if path.parts[0] not in WRITABLE]

    def running(self) -> bool:
        """Whether the service's command still runs."""
        return self._process is not None and self._process.poll() is None

    def log(self) -> str:
        """Return what the service has logged."""
        return self._log.read_text()

    def stop(self) -> None:
        """End the service's command."""
        if self._process is None:
            return
        group = self._process.pid
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self.running():
                os.killpg(group, number)
                try:
                    self._process.wait(STOP_S)
                except subprocess.TimeoutExpired:
                    continue
        self._process = None
