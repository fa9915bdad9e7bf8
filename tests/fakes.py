"""Small stand-ins for what lies outside a use case."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from service.application.ports import StageProgress
from service.domain.errors import BrokerUnavailableError
from service.domain.job import Outcome


class FakeClock:
    """A clock that stands until told to go."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def pass_by(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@dataclass
class FakeQueue:
    """A doorbell that remembers who rang, and may be broken."""

    rung: list[str] = field(default_factory=list)
    canaries: list[str] = field(default_factory=list)
    broken: bool = False
    on_canary: Callable[[str], None] | None = None

    def ring(self, job_id: str) -> None:
        if self.broken:
            raise BrokerUnavailableError("the message broker cannot be reached")
        self.rung.append(job_id)

    def ring_canary(self, canary_id: str, expires_s: float) -> None:
        if self.broken:
            raise BrokerUnavailableError("the message broker cannot be reached")
        self.canaries.append(canary_id)
        if self.on_canary is not None:
            self.on_canary(canary_id)


class FakeAnalysis:
    """An analysis that does one thing between two stages, then leaves a report."""

    def __init__(self, between: Callable[[], None] = lambda: None) -> None:
        self._between = between
        self.seen: list[tuple[Path, str]] = []
        self.earlier: list[Path | None] = []

    def __call__(
        self,
        upload: Path,
        model: str,
        results: Path,
        progress: StageProgress,
        earlier: Path | None = None,
    ) -> Outcome:
        self.seen.append((upload, model))
        self.earlier.append(earlier)
        progress.stage("read", 0.0)
        results.mkdir(parents=True)
        (results / "report.json").write_text("{}")
        self._between()
        progress.stage("write", 0.9)
        return Outcome("no_thrombus_found", ("report.json",))


class Silent:
    """A progress that nobody watches."""

    def stage(self, stage: str, fraction: float) -> None:
        """Take note of nothing."""
