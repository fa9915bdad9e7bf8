"""What each tissue does in a magnetic field."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]

FIELDS_T = (1.5, 3.0)
# Proton gyromagnetic ratio over 2 pi (CODATA 2018, shielded proton), MHz/T.
GAMMA_BAR_MHZ_PER_T = 42.576
# R2' per ppm of iron-bearing tissue, blood and clot at 3 T (1/s, Shin 2021); proportional to B0.
RELAXIVITY_HZ_PER_PPM = 137.0
# R2* of a clot or of venous blood without any susceptibility at 3 T (1/s).
BLOOD_R2STAR_HZ = 20.0
AIR_PPM = 9.2


@dataclass(frozen=True)
class Tissue:
    """MR properties of a tissue.

    Attributes
    ----------
    density : float
        Proton density relative to water.
    t1_ms, t2_ms, t2star_ms : (float, float)
        At 1.5 and 3 T.
    diffusivity : float
        Apparent diffusion coefficient, 1e-3 mm2/s.
    ppm : float
        Susceptibility relative to water.
    """

    density: float
    t1_ms: tuple[float, float]
    t2_ms: tuple[float, float]
    t2star_ms: tuple[float, float]
    diffusivity: float
    ppm: float


# T1, T2 and T2* of brain: within the published ranges (T2* after Peters 2007); ADC of adults 0.91
# and 0.83; susceptibilities after the tissue table of qsm-forward. Bone, muscle, fat: usual values.
TISSUES: dict[str, Tissue] = {
    "grey": Tissue(0.82, (950, 1400), (84, 74), (84, 66), 0.91, 0.02),
    "white": Tissue(0.70, (650, 950), (80, 71), (66, 53), 0.83, -0.03),
    "fluid": Tissue(1.00, (3600, 4000), (1500, 1200), (1000, 600), 3.0, 0.02),
    "bone": Tissue(0.08, (400, 500), (20, 15), (4, 2), 0.2, -2.1),
    "soft": Tissue(0.75, (900, 1200), (45, 40), (30, 22), 1.3, 0.0),
    "fat": Tissue(0.90, (280, 370), (75, 65), (45, 30), 0.05, 0.6),
}


def at_field(pair: tuple[float, float], field_strength_t: float) -> float:
    """Return a time at any field by the power law through its values at 1.5 and 3 T."""
    low, high = pair
    exponent = np.log(high / low) / np.log(FIELDS_T[1] / FIELDS_T[0])
    return float(low * (field_strength_t / FIELDS_T[0]) ** exponent)


def blood_r2star_per_ms(ppm: float, field_strength_t: float) -> float:
    """Return R2* (1/ms) of a clot or of blood with a susceptibility: (20 + 137 ppm)/s at 3 T."""
    return (BLOOD_R2STAR_HZ + RELAXIVITY_HZ_PER_PPM * abs(ppm)) * field_strength_t / 3 / 1000


def mix(fractions: Mapping[str, Float32], value: Callable[[Tissue], float]) -> Float32:
    """Sum the fractions weighted by a property of their tissue, (slice, row, column)."""
    total = np.zeros(next(iter(fractions.values())).shape, np.float32)
    for name, fraction in fractions.items():
        total += np.float32(value(TISSUES[name])) * fraction
    return total
