"""FLAIR: dark fluid, flow voids in open arteries, bright slow flow behind a thrombus."""

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
    wide_veins,
)
from training.simulate.examination import Examination
from training.simulate.physics import inversion_recovery
from training.simulate.tissue import TISSUES, Tissue, at_field, mix

FINEST_MM = 1.0
# Signals relative to grey matter.
FLOW_VOID = 0.1
VENOUS = 0.45
DARK_STANDING = 0.35
HYPERINTENSE = (1.15, 1.8)
CLOT = (0.5, 1.3)
SOURCE = 0.7
# Infarcts begin to shine after 4.5 hours, and are next to invisible before.
ONSET_HOURS = 4.5
EARLY_RISE = 0.05
LATE_RISE = 0.45
LATE_HOURS = 4.0


@dataclass(frozen=True)
class FlairDraws:
    """Signal of the vessels behind the thrombus and of the thrombus, relative to grey matter."""

    standing: float
    clot: float
    flaws: Flaws


def render_flair(exam: Examination) -> CompanionImage[FlairDraws]:
    """Render FLAIR of an examination."""
    rng = exam.stream("flair")
    shining = float(rng.uniform(*HYPERINTENSE))
    draws = FlairDraws(
        standing=shining if exam.patient.hyperintense_vessels else DARK_STANDING,
        clot=float(rng.uniform(*CLOT)),
        flaws=draw_flaws(rng),
    )

    def signal(tissue: Tissue) -> float:
        return _signal(exam, tissue)

    grid = exam.grid(Role.FLAIR, finest_mm=FINEST_MM)
    head_map = mix(exam.patient.head.tissues, signal) * (
        1 + rise(exam.patient.infarct.onset_hours) * exam.patient.infarct.fraction
    )
    image = sample(exam, Role.FLAIR, head_map, grid.fine)
    _paint(exam, grid, image, draws)
    unit = signal(TISSUES["grey"])
    magnitude = acquired(exam, Role.FLAIR, grid, image, draws.flaws, unit)
    return CompanionImage(magnitude, grid, draws)


def rise(onset_hours: float) -> np.float32:
    """Return how much brighter an infarct is than its tissue after some hours."""
    late = np.clip((onset_hours - ONSET_HOURS) / LATE_HOURS, 0, 1)
    return np.float32(EARLY_RISE * min(1.0, onset_hours / ONSET_HOURS) + LATE_RISE * late)


def _signal(exam: Examination, tissue: Tissue) -> float:
    protocol, field = exam.scans[Role.FLAIR].protocol, exam.site.field_strength_t
    recovered = inversion_recovery(
        t1_ms=at_field(tissue.t1_ms, field),
        repetition_ms=protocol.repetition_ms,
        inversion_ms=protocol.inversion_ms,
    )
    decay = np.exp(-protocol.echo_times_ms[0] / at_field(tissue.t2_ms, field))
    return float(tissue.density * recovered * decay)


def _paint(exam: Examination, grid: Grid, image: np.ndarray, draws: FlairDraws) -> None:
    patient, pose, fine = exam.patient, exam.poses[Role.FLAIR], grid.fine
    unit = _signal(exam, TISSUES["grey"])
    for tube in wide_veins(patient.veins):
        blend(tube, pose, fine, image, VENOUS * unit)
    for tube in patient.arteries.values():
        flowing, standing = patient.split_flow(tube)
        blend(flowing, pose, fine, image, FLOW_VOID * unit)
        blend(standing, pose, fine, image, draws.standing * unit)
    for source in patient.sources:
        blend(source.body, pose, fine, image, SOURCE * unit)
    for piece in patient.clot.pieces if patient.clot is not None else ():
        blend(piece.tube, pose, fine, image, draws.clot * unit)
