"""Time-of-flight angiography: fresh blood shines, and stops at a thrombus.

Blood of the veins comes down saturated, and looks like the tissue around.
"""

from dataclasses import dataclass

import numpy as np

from service.domain.sequence import Role
from training.simulate.acquisition import Grid
from training.simulate.companion import (
    CompanionImage,
    Flaws,
    acquired,
    blend,
    draw_flaws,
    sample,
)
from training.simulate.examination import Examination
from training.simulate.physics import spoiled_echo
from training.simulate.tissue import TISSUES, Tissue, at_field, mix

# Voxels are as fine as the object needs to be.
FINEST_MM = 10.0
# Slab around the circle of Willis: MNI height of its lower end, and its height, mm.
LOW_MM = (-64.0, -52.0)
HEIGHT_MM = (80.0, 100.0)
# Signal of flowing blood relative to grey matter: of a wide vessel, and of one without width.
WIDE_INFLOW = (2.4, 3.2)
NARROW_INFLOW = 1.2
WIDE_MM = 1.5
# Saturation: share of the signal left at the upper end of the slab.
LEFT_AT_TOP = (0.6, 0.9)
COLLATERAL_SHARE = 0.8
STANDING = (0.8, 1.0)
CLOT = 0.95


@dataclass(frozen=True)
class AngiographyDraws:
    """Signals relative to grey matter, and the slab's place."""

    low_mm: float
    height_mm: float
    inflow: float
    left_at_top: float
    standing: float
    flaws: Flaws


def render_angiography(exam: Examination) -> CompanionImage[AngiographyDraws]:
    """Render TOF of an examination."""
    rng = exam.stream("angiography")
    draws = AngiographyDraws(
        low_mm=float(rng.uniform(*LOW_MM)),
        height_mm=float(rng.uniform(*HEIGHT_MM)),
        inflow=float(rng.uniform(*WIDE_INFLOW)),
        left_at_top=float(rng.uniform(*LEFT_AT_TOP)),
        standing=float(rng.uniform(*STANDING)),
        flaws=draw_flaws(rng),
    )

    def signal(tissue: Tissue) -> float:
        return _signal(exam, tissue)

    bottom = float(exam.patient.head.place(np.array([0.0, 15.0, draws.low_mm]))[2])
    grid = exam.grid(Role.TOF, finest_mm=FINEST_MM, slab=(bottom, draws.height_mm))
    image = sample(exam, Role.TOF, mix(exam.patient.head.tissues, signal), grid.fine)
    _paint(exam, grid, image, draws)
    unit = signal(TISSUES["grey"])
    magnitude = acquired(exam, Role.TOF, grid, image, draws.flaws, unit)
    return CompanionImage(magnitude, grid, draws)


def _signal(exam: Examination, tissue: Tissue) -> float:
    protocol, field = exam.scans[Role.TOF].protocol, exam.site.field_strength_t
    steady = spoiled_echo(
        t1_ms=at_field(tissue.t1_ms, field),
        repetition_ms=protocol.repetition_ms,
        flip_deg=protocol.flip_deg,
    )
    decay = np.exp(-protocol.echo_times_ms[0] / at_field(tissue.t2star_ms, field))
    return float(tissue.density * steady * decay)


def inflow(radius_mm: float, height: float, draws: AngiographyDraws) -> float:
    """Return the signal of flowing blood relative to grey matter.

    Parameters
    ----------
    radius_mm : float
    height : float
        0 at the lower, 1 at the upper end of the slab: blood saturates on its way up.
    """
    fresh = NARROW_INFLOW + (draws.inflow - NARROW_INFLOW) * min(1.0, radius_mm / WIDE_MM)
    return fresh * (1 - (1 - draws.left_at_top) * float(np.clip(height, 0, 1)))


def _paint(exam: Examination, grid: Grid, image: np.ndarray, draws: AngiographyDraws) -> None:
    patient, pose, fine = exam.patient, exam.poses[Role.TOF], grid.fine
    unit = _signal(exam, TISSUES["grey"])
    for tube in patient.arteries.values():
        height = (tube.centreline[:, 2].mean() - fine.origin[2]) / draws.height_mm
        fresh = inflow(float(tube.radius_mm.mean()), float(height), draws)
        behind = draws.standing if patient.stop_shown else COLLATERAL_SHARE * fresh
        flowing, standing = patient.split_flow(tube)
        blend(flowing, pose, fine, image, fresh * unit)
        blend(standing, pose, fine, image, behind * unit)
    for source in patient.sources:
        blend(source.body, pose, fine, image, CLOT * unit)
    for piece in patient.clot.pieces if patient.clot is not None else ():
        blend(piece.tube, pose, fine, image, CLOT * unit)
