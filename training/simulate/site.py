"""Hospitals as data: scanners and protocols from TOML, and what one examination draws from them."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from service.domain.sequence import Role

BUILT_IN = Path(__file__).with_name("sites.toml")

Range = tuple[float, float]


# Keys that no site has are mistakes, not comments.
STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)


class OptionError(ValueError):
    """What was asked for cannot be simulated; whoever asked can ask for something else."""


class SiteError(OptionError):
    """A site file does not describe a scanner; whoever wrote the file can fix it."""


class Vendor(StrEnum):
    """Maker of the scanner: decides header style and how phase is scaled."""

    SIEMENS = "siemens"
    GE = "ge"
    PHILIPS = "philips"


class Composition(StrEnum):
    """How a scanner makes the susceptibility-weighted magnitude image."""

    ECHO_MEAN = "echo mean"  # SWAN: mean of the magnitudes of all echoes
    PHASE_MASK = "phase mask"  # SWI: magnitude times the fourth power of the phase mask
    MAGNITUDE = "magnitude"  # T2*: magnitude of the only echo


class Handedness(StrEnum):
    """Sign with which a maker stores phase: right-handed stores a positive field as positive."""

    RIGHT = "right"
    LEFT = "left"
    RANDOM = "random"


@dataclass(frozen=True)
class Protocol:
    """One sequence of a site; ranges are drawn for every examination.

    Attributes
    ----------
    in_plane_mm, thickness_mm, gap_mm : (float, float)
        Voxel edge in the slice, slice thickness and gap between slices.
    echo_times_ms : tuple of float
        Equally spaced.
    repetition_ms, flip_deg : float
    inversion_ms : float
        0 without an inversion pulse.
    volumetric : bool
        3D encoding (no gaps) instead of slices.
    composition : Composition or None
        Of the susceptibility-weighted sequence.
    handedness : Handedness
        Of its phase images.
    b_values : tuple of float
        s/mm2; one is drawn.
    bandwidth_hz_per_px : float
        Of echo-planar imaging, along the phase-encoding direction: a field of that many hertz
        moves the signal by one voxel.
    signal_to_noise : (float, float)
        Of grey matter.
    """

    __pydantic_config__ = STRICT

    in_plane_mm: Range
    thickness_mm: Range
    echo_times_ms: tuple[float, ...]
    repetition_ms: float
    flip_deg: float
    gap_mm: Range = (0.0, 0.0)
    inversion_ms: float = 0.0
    volumetric: bool = False
    composition: Composition | None = None
    handedness: Handedness = Handedness.RIGHT
    b_values: tuple[float, ...] = ()
    bandwidth_hz_per_px: float = 0.0
    signal_to_noise: Range = (15.0, 60.0)

    def __post_init__(self) -> None:
        for name in ("in_plane_mm", "thickness_mm", "gap_mm", "signal_to_noise"):
            low, high = getattr(self, name)
            if not 0 <= low <= high or (low == 0 and name != "gap_mm"):
                raise SiteError(f"{name} must be [low, high] with 0 < low <= high, got {low, high}")
        steps = np.diff(self.echo_times_ms, prepend=0.0)
        uneven = len(steps) > 2 and np.ptp(steps[1:]) > 1e-6
        if not self.echo_times_ms or (steps <= 0).any() or uneven:
            raise SiteError(
                f"echo_times_ms must be positive and equally spaced, got {self.echo_times_ms}"
            )
        if self.volumetric and self.gap_mm != (0.0, 0.0):
            raise SiteError(f"a volumetric sequence has no gap, got gap_mm {self.gap_mm}")
        self._check_pulses()

    def _check_pulses(self) -> None:
        if not self.repetition_ms > 0:
            raise SiteError(f"repetition_ms must be positive, got {self.repetition_ms}")
        if not 0 < self.flip_deg <= 180:
            raise SiteError(f"flip_deg must be above 0 and at most 180, got {self.flip_deg}")
        if not 0 <= self.inversion_ms < self.repetition_ms:
            raise SiteError(
                f"inversion_ms must be 0 to below repetition_ms, got {self.inversion_ms}"
            )
        if not all(value > 0 for value in self.b_values):
            raise SiteError(f"b_values must be positive, got {self.b_values}")
        if not self.bandwidth_hz_per_px >= 0:
            raise SiteError(
                f"bandwidth_hz_per_px must not be negative, got {self.bandwidth_hz_per_px}"
            )


# Sequence of the site file behind each role.
SEQUENCE_OF_ROLE: dict[Role, str] = {
    Role.SUSC: "susceptibility",
    Role.PHASE: "susceptibility",
    Role.DWI: "diffusion",
    Role.ADC: "diffusion",
    Role.FLAIR: "flair",
    Role.TOF: "angiography",
}


@dataclass(frozen=True)
class Site:
    """A hospital.

    Attributes
    ----------
    name : str
        Letters only, so that name and seed make a case's name that no other has.
    missing : mapping of Role to float
        Probability that an examination lacks the role.
    susceptibility, diffusion, flair, angiography : Protocol
    """

    __pydantic_config__ = STRICT

    name: str
    vendor: Vendor
    field_strength_t: float
    missing: Mapping[Role, float]
    susceptibility: Protocol
    diffusion: Protocol
    flair: Protocol
    angiography: Protocol

    def __post_init__(self) -> None:
        if not (self.name.isascii() and self.name.isalpha()):
            raise SiteError(f"the name of a site has letters A-Z and a-z only, got {self.name!r}")
        if not 0.2 <= self.field_strength_t <= 7:
            raise SiteError(f"field_strength_t must be 0.2 to 7, got {self.field_strength_t}")
        for role, share in self.missing.items():
            if not 0 <= share <= 1:
                raise SiteError(f"missing.{role} must be a probability, got {share}")
        self._check_sequences()

    def _check_sequences(self) -> None:
        if self.susceptibility.composition is None:
            raise SiteError(f"susceptibility.composition must be one of {list(Composition)}")
        if not self.diffusion.b_values or self.diffusion.bandwidth_hz_per_px <= 0:
            raise SiteError("diffusion needs b_values and a positive bandwidth_hz_per_px")
        if self.flair.inversion_ms <= 0:
            raise SiteError("flair needs a positive inversion_ms")

    def protocol(self, role: Role) -> Protocol:
        """Return the sequence that gives a role."""
        found: Protocol = getattr(self, SEQUENCE_OF_ROLE[role])
        return found


def _named(entries: object) -> object:
    """Give each site the name of its table."""
    if not isinstance(entries, Mapping):
        return entries
    for entry in entries.values():
        if isinstance(entry, Mapping) and "name" in entry:
            raise SiteError(f"a site is named by its table, got name = {entry['name']!r}")
    return {
        name: {"name": name, **entry} if isinstance(entry, Mapping) else entry
        for name, entry in entries.items()
    }


@dataclass(frozen=True)
class _Document:
    """What a site file may say."""

    __pydantic_config__ = STRICT

    sites: Annotated[Mapping[str, Site], BeforeValidator(_named)] = field(default_factory=dict)
    cohorts: Mapping[str, Annotated[tuple[str, ...], Field(min_length=1)]] = field(
        default_factory=dict
    )


_DOCUMENT = TypeAdapter(_Document)


@dataclass(frozen=True)
class SiteTable:
    """All sites that can be simulated, and named lists of them."""

    sites: Mapping[str, Site]
    cohorts: Mapping[str, tuple[str, ...]]

    def select(self, names: str) -> tuple[Site, ...]:
        """Return the sites of ``"B"``, ``"A,B,B"`` or of a cohort's name.

        Raises
        ------
        SiteError
            If a name is neither a site nor a cohort.
        """
        chosen = self.cohorts.get(names) or tuple(name.strip() for name in names.split(","))
        unknown = [name for name in chosen if name not in self.sites]
        if unknown:
            known = ", ".join([*self.sites, *self.cohorts])
            raise SiteError(f"there is no site {unknown[0]!r}; known are {known}")
        return tuple(self.sites[name] for name in chosen)


def load_sites(extra: Path | None = None) -> SiteTable:
    """Read the sites that come with the simulator, and those of another file beside them.

    Parameters
    ----------
    extra : Path, optional
        TOML of the same form; a site or cohort of the same name replaces the built-in one.

    Raises
    ------
    SiteError
        If a file has unknown keys or impossible values; names file, site and value.
    """
    sites: dict[str, Site] = {}
    cohorts: dict[str, tuple[str, ...]] = {}
    for path in (BUILT_IN, extra):
        if path is None:
            continue
        document = _read(path)
        sites |= document.sites
        cohorts |= document.cohorts
        for name, members in document.cohorts.items():
            unknown = [member for member in members if member not in sites]
            if unknown:
                raise SiteError(f"{path}: cohort {name}: there is no site {unknown[0]!r}")
    return SiteTable(sites, cohorts)


def _read(path: Path) -> _Document:
    try:
        return _DOCUMENT.validate_python(tomllib.loads(path.read_text()))
    except ValidationError as exc:
        told = "; ".join(_told(problem) for problem in exc.errors())
        raise SiteError(f"{path}: {told}") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise SiteError(f"{path}: {exc}") from exc


def _told(problem: ErrorDetails) -> str:
    where = ".".join(str(part) for part in problem["loc"])
    if problem["loc"][0] == "sites" and len(problem["loc"]) > 1:
        _, site, *inside = problem["loc"]
        where = f"site {site}: {'.'.join(str(part) for part in inside)}".removesuffix(": ")
    given = "" if isinstance(problem["input"], Mapping) else f", got {problem['input']!r}"
    return f"{where}: {problem['msg']}{given}"


@dataclass(frozen=True)
class Scan:
    """One sequence of one examination: a protocol with everything drawn.

    Attributes
    ----------
    in_plane_mm, thickness_mm, gap_mm : float
    handedness : int
        1 where a positive field is stored as positive phase, -1 where as negative.
    b_value : float
        s/mm2; 0 for other sequences.
    signal_to_noise : float
        Of grey matter.
    """

    protocol: Protocol
    in_plane_mm: float
    thickness_mm: float
    gap_mm: float
    handedness: int
    b_value: float
    signal_to_noise: float

    @property
    def voxel_mm(self) -> tuple[float, float, float]:
        """Distance of neighbouring samples along (slice, row, column)."""
        return self.thickness_mm + self.gap_mm, self.in_plane_mm, self.in_plane_mm


def draw_scan(protocol: Protocol, rng: np.random.Generator) -> Scan:
    """Draw voxel size, conventions and noise of one sequence."""
    sign = {Handedness.RIGHT: 1, Handedness.LEFT: -1}
    thickness = float(rng.uniform(*protocol.thickness_mm))
    gap = float(rng.uniform(*protocol.gap_mm))
    in_plane = float(rng.uniform(*protocol.in_plane_mm))
    drawn = int(rng.choice([-1, 1]))
    b_value = float(rng.choice(protocol.b_values)) if protocol.b_values else 0.0
    return Scan(
        protocol=protocol,
        # Scanners round what is prescribed; headers then hold exactly what was simulated.
        in_plane_mm=round(in_plane, 3),
        thickness_mm=round(thickness, 2),
        gap_mm=round(gap, 2),
        handedness=sign.get(protocol.handedness, drawn),
        b_value=b_value,
        signal_to_noise=float(rng.uniform(*protocol.signal_to_noise)),
    )
