"""What models/<name>/<version>/model.json promises about model.onnx."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from service.domain.errors import InvalidModelError
from service.domain.sequence import Role

SCHEMA_VERSION = "1.0"
# Key of expected_performance under which the combinations of sequences stand.
COMBINATIONS = "subsets"


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise InvalidModelError(message)


def combination(roles: Iterable[Role]) -> str:
    """Name a combination of sequences, such as ``ADC+DWI+SUSC``: sorted, so that each has one."""
    return "+".join(sorted(role.value for role in roles))


@dataclass(frozen=True)
class InputSpec:
    """How volumes become the network's input; shared by training and service.

    Attributes
    ----------
    roles : tuple of Role
        Order of the input channels.
    in_plane_spacing_mm : float
        Row and column spacing of the network's grid.
    slice_spacing_mm : (float, float)
        Finest and coarsest slice spacing the network was trained on. Finer slices are resampled
        to the finest; coarser ones are kept, with a warning in the report.
    clip : float
        Normalised intensities are clipped to plus and minus this many standard deviations.
    divisor : int
        Rows and columns of the network's grid are a multiple of this number.
    neighbours : int
        Slices on either side of a stack that the network sees beside it; zeros beyond the ends.

    Raises
    ------
    InvalidModelError
        If a value lies outside its range; the message names it.
    """

    roles: tuple[Role, ...] = tuple(Role)
    in_plane_spacing_mm: float = 0.9
    slice_spacing_mm: tuple[float, float] = (1.5, 6.0)
    clip: float = 5.0
    divisor: int = 16
    neighbours: int = 0

    def __post_init__(self) -> None:
        distinct = bool(self.roles) and len(set(self.roles)) == len(self.roles)
        _require(distinct, f"roles must be distinct and not empty, got {self.roles}")
        _require(self.in_plane_spacing_mm > 0, f"in_plane_spacing_mm {self.in_plane_spacing_mm}")
        finest, coarsest = self.slice_spacing_mm
        _require(0 < finest <= coarsest, f"slice_spacing_mm is {self.slice_spacing_mm}")
        _require(self.clip > 0, f"clip must be positive, got {self.clip}")
        _require(self.divisor >= 1, f"divisor must be at least 1, got {self.divisor}")
        _require(self.neighbours >= 0, f"neighbours must not be negative, got {self.neighbours}")


@dataclass(frozen=True)
class ModelSpec:
    """One network, its input, and how its output is read.

    Attributes
    ----------
    name, version : str
        As in the folder's path.
    sha256 : str
        Digest of model.onnx in hexadecimal.
    input : InputSpec
        How volumes become the network's input.
    state_channels : int
        Channels of one direction of the recurrent state; its map has rows / divisor by columns /
        divisor elements.
    threshold : float
        Probability from which a voxel belongs to a thrombus: where its outline is.
    min_volume_mm3 : float
        Smaller components are not reported.
    intended_use, training_data : str
        Sentences copied into the report.
    expected_performance : mapping
        What was measured, on what, as in the model card. Its entry ``subsets``, which older models
        lack, holds the same for combinations of sequences, by the names of ``combination``.
    peak : float
        Components whose most probable voxel is less probable are not reported: whether there is a
        thrombus, apart from where its outline is. 0, as in older models, leaves that to the
        threshold.

    Raises
    ------
    InvalidModelError
        If a value is missing or outside its range; the message names it.
    """

    name: str
    version: str
    sha256: str
    input: InputSpec
    state_channels: int
    threshold: float
    min_volume_mm3: float
    intended_use: str
    training_data: str
    expected_performance: Mapping[str, Any] = field(default_factory=dict)
    peak: float = 0.0

    def __post_init__(self) -> None:
        _require(bool(self.name and self.version), "name and version must not be empty")
        _require(len(self.sha256) == 64, f"sha256 must have 64 digits, got {self.sha256!r}")
        _require(0 < self.threshold < 1, f"threshold must lie in 0..1, got {self.threshold}")
        _require(0 <= self.peak < 1, f"peak must lie in 0..1, got {self.peak}")
        _require(self.state_channels >= 1, f"state_channels is {self.state_channels}")
        _require(self.min_volume_mm3 >= 0, f"min_volume_mm3 is {self.min_volume_mm3}")
        measured = self.expected_performance.get(COMBINATIONS, {})
        _require(isinstance(measured, Mapping), f"{COMBINATIONS} is no mapping: {measured!r}")
        for name, performance in measured.items():
            roles = [role for role in Role if role.value in name.split("+")]
            _require(name == combination(roles), f"{name!r} names no combination of sequences")
            _require(isinstance(performance, Mapping), f"{name} has no mapping: {performance!r}")

    @property
    def overall_performance(self) -> dict[str, Any]:
        """What was measured, without the combinations of sequences."""
        return {
            key: value for key, value in self.expected_performance.items() if key != COMBINATIONS
        }

    def performance_with(self, roles: Iterable[Role]) -> Mapping[str, Any] | None:
        """Return what was measured with exactly these sequences; None if that was not."""
        measured: Mapping[str, Any] | None = self.expected_performance.get(COMBINATIONS, {}).get(
            combination(roles)
        )
        return measured

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Read the parsed model.json; unknown and missing keys are errors."""
        values = dict(document)
        schema = values.pop("schema_version", None)
        _require(schema == SCHEMA_VERSION, f"model.json has schema_version {schema!r}, not 1.0")
        try:
            grid = dict(values["input"])
            grid["roles"] = tuple(Role(role) for role in grid["roles"])
            grid["slice_spacing_mm"] = tuple(grid["slice_spacing_mm"])
            values["input"] = InputSpec(**grid)
            return cls(**values)
        except (KeyError, TypeError, ValueError) as exc:
            raise InvalidModelError(f"model.json is not valid: {exc}") from exc

    def to_json(self) -> dict[str, Any]:
        """Return the document that ``from_json`` reads."""
        return {"schema_version": SCHEMA_VERSION, **asdict(self)}
