"""Hospitals: scanners and protocols as a table, and what varies between their patients."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from training.simulate.anatomy import Float64


@dataclass(frozen=True)
class Tissue:
    """MR properties of a tissue; times in ms, diffusion in 1e-3 mm2/s, density relative to water.

    Attributes
    ----------
    t1_ms, t2star_ms : (float, float)
        At 1.5 and 3 T.
    """

    density: float
    t1_ms: tuple[float, float]
    t2_ms: float
    t2star_ms: tuple[float, float]
    diffusivity: float


# Common literature values: T2* after Peters 2007, T1 within published ranges, ADC of adults.
TISSUES: dict[str, Tissue] = {
    "grey": Tissue(0.82, (950, 1400), 80, (84, 66), 0.85),
    "white": Tissue(0.70, (650, 950), 72, (66, 53), 0.75),
    "fluid": Tissue(1.00, (3600, 4000), 1200, (1000, 600), 2.9),
    "bone": Tissue(0.10, (400, 500), 20, (4, 2), 0.2),
    "scalp": Tissue(0.85, (300, 380), 60, (40, 25), 0.1),
}


class Composition(StrEnum):
    """How a scanner makes the susceptibility-weighted magnitude image."""

    ECHO_MEAN = "mean of the magnitudes of all echoes"
    PHASE_MASKED = "magnitude times the fourth power of the phase mask"
    MAGNITUDE = "magnitude of the only echo"


@dataclass(frozen=True)
class Site:
    """Protocol of the susceptibility-weighted sequence of one hospital.

    Attributes
    ----------
    field_strength_t : float
    echoes_ms : tuple of float
        Equally spaced.
    repetition_ms, flip_deg : float
    in_plane_mm, thickness_mm : (float, float)
        Ranges from which each patient's voxel is drawn.
    composition : Composition
    has_phase : bool
        Whether the phase image is stored.
    b_value : float
        Of the diffusion-weighted image, s/mm2.
    """

    name: str
    field_strength_t: float
    echoes_ms: tuple[float, ...]
    repetition_ms: float
    flip_deg: float
    in_plane_mm: tuple[float, float]
    thickness_mm: tuple[float, float]
    composition: Composition
    has_phase: bool
    b_value: float = 1000.0

    @property
    def field_index(self) -> int:
        """0 at 1.5 T, 1 at 3 T: position in the pairs of TISSUES."""
        return int(self.field_strength_t > 2)


SITES: dict[str, Site] = {
    "A": Site(
        "A",
        3.0,
        (13.0, 21.0, 29.0, 37.0, 45.0),
        52.0,
        15.0,
        (0.80, 0.95),
        (1.5, 2.0),
        Composition.ECHO_MEAN,
        has_phase=True,
    ),
    "B": Site(
        "B",
        3.0,
        (20.0,),
        28.0,
        15.0,
        (0.75, 0.95),
        (1.5, 2.0),
        Composition.PHASE_MASKED,
        has_phase=True,
    ),
    "C": Site(
        "C",
        1.5,
        (40.0,),
        49.0,
        18.0,
        (0.85, 1.0),
        (2.0, 2.4),
        Composition.PHASE_MASKED,
        has_phase=True,
    ),
    "D": Site(
        "D",
        1.5,
        (25.0,),
        700.0,
        20.0,
        (0.85, 1.0),
        (5.0, 6.0),
        Composition.MAGNITUDE,
        has_phase=False,
    ),
}


@dataclass(frozen=True, eq=False)
class Scan:
    """What one patient's examination at a site adds to its protocol.

    Attributes
    ----------
    voxel_mm : (float, float, float)
        (slice, row, column) of the susceptibility-weighted sequence.
    b0_direction : float64 array (3,)
        Main field along (slice, row, column).
    handedness : int
        Sign with which phase is stored, 1 or -1: makers differ.
    mask_sign : int
        Sign of the true phase that the SWI mask darkens; -1 (the inside of vessels across the
        field) in 70 % of patients.
    signal_to_noise : float
        Of white matter in the susceptibility-weighted magnitude.
    """

    site: Site
    voxel_mm: tuple[float, float, float]
    b0_direction: Float64
    handedness: int
    mask_sign: int
    signal_to_noise: float


def draw_scan(site: Site, rng: np.random.Generator) -> Scan:
    """Draw voxel size, field direction, conventions and noise of one examination."""
    in_plane = float(rng.uniform(*site.in_plane_mm))
    thickness = float(rng.uniform(*site.thickness_mm))
    tilt = rng.normal(0, np.radians(10), 2)
    direction = np.array([1.0, np.sin(tilt[0]), np.sin(tilt[1])])
    return Scan(
        site=site,
        voxel_mm=(thickness, in_plane, in_plane),
        b0_direction=direction / np.linalg.norm(direction),
        handedness=int(rng.choice([-1, 1])),
        mask_sign=int(rng.choice([-1, 1], p=[0.7, 0.3])),
        signal_to_noise=float(rng.uniform(15, 45)),
    )
