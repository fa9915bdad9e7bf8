"""The object of the susceptibility-weighted sequence: signal, decay and field on a fine grid.

Tissue comes from the head's 1 mm maps; vessels, thrombus and mimics are painted at 0.5 mm or finer,
and their field is computed there. The thrombus is kept apart, so that the same patient can be
rendered with and without it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from service.domain.geometry import Geometry
from service.domain.sequence import Role
from training.simulate.acquisition import Grid
from training.simulate.companion import sample
from training.simulate.examination import Examination
from training.simulate.gradient_echo import Box, Spins
from training.simulate.grids import axial_grid
from training.simulate.painting import Painted, inside_box, paint, surroundings
from training.simulate.physics import dipole_field, spoiled_echo
from training.simulate.site import Scan
from training.simulate.tissue import (
    RELAXIVITY_HZ_PER_PPM,
    TISSUES,
    Tissue,
    at_field,
    blood_r2star_per_ms,
    mix,
)
from training.simulate.tube import Tube

Float32 = npt.NDArray[np.float32]

VEIN_PPM = 0.19
ISCHAEMIC_VEIN_PPM = 0.1
SMALL_VEINS = ("cortical", "medullary")
# Signal at TE 0 relative to grey matter.
VEIN_SIGNAL = 0.95
CLOT_SIGNAL = 0.9
STAGNANT_SIGNAL = 0.9
# Flowing blood comes in fresh and shines, or loses some of its phase: limits for each tube.
INFLOW_SIGNAL = (0.9, 1.5)
# The siphon's turbulence takes signal.
SIPHON_SIGNAL = (0.2, 1.1)
# Haematoma and calcium have few mobile protons.
SOURCE_SIGNAL = {"microbleed": 0.7, "petechia": 0.8, "calcification": 0.5}
# The thrombus's own field is added inside a box this far around it, with zeros around that.
BOX_MARGIN_MM = 22.0
BOX_PADDING = 1.0


@dataclass(frozen=True, eq=False)
class ClotMaps:
    """The thrombus on a part of the fine grid, float32 arrays (slice, row, column).

    Attributes
    ----------
    box : slices
        The part.
    shares : tuple of array
        What each piece fills of each voxel, 0..1.
    share, ppm : array
        What all of them fill, and their susceptibility there.
    replaced_ppm : array
        Susceptibility of the standing blood whose place the thrombus takes.
    """

    box: Box
    shares: tuple[Float32, ...]
    share: Float32
    ppm: Float32
    replaced_ppm: Float32


def grey_signal(scan: Scan, field_strength_t: float) -> float:
    """Return the signal of grey matter at TE 0."""
    return _steady(TISSUES["grey"], scan, field_strength_t)


def _steady(tissue: Tissue, scan: Scan, field_strength_t: float) -> float:
    return tissue.density * spoiled_echo(
        t1_ms=at_field(tissue.t1_ms, field_strength_t),
        repetition_ms=scan.protocol.repetition_ms,
        flip_deg=scan.protocol.flip_deg,
    )


@dataclass(frozen=True, eq=False)
class Body:
    """A vessel or a mimic on the fine grid: its voxels and what fills them.

    Attributes
    ----------
    signal : float
        At TE 0.
    ppm : float
        Susceptibility relative to water; R2* follows from it.
    """

    painted: Painted
    signal: float
    ppm: float


def healthy_spins(exam: Examination, grid: Grid) -> Spins:
    """Return tissue, vessels and mimics without the thrombus."""
    fine, device, b0 = grid.fine, exam.device, exam.site.field_strength_t
    bodies = [*_veins(exam, fine), *_arteries(exam, fine), *_sources(exam, fine)]
    # The field first: its transforms need most memory. Each layer is painted in place, in the
    # processor's memory, which torch shares.
    ppm = np.zeros(fine.shape, np.float32)
    for body in bodies:
        body.painted.blend(ppm, body.ppm)
    field = dipole_field(torch.from_numpy(ppm).to(device), fine.spacing, exam.b0_direction)
    del ppm
    field += exam.poses[Role.SUSC].sample(exam.field_ppm, exam.patient.head.geometry, fine)
    signal, decay = (sample(exam, Role.SUSC, m, fine) for m in _tissue_maps(exam))
    for body in bodies:
        body.painted.blend(signal, body.signal)
        body.painted.blend(decay, blood_r2star_per_ms(body.ppm, b0))
    return Spins(torch.from_numpy(signal).to(device), torch.from_numpy(decay).to(device), field)


def _tissue_maps(exam: Examination) -> tuple[Float32, Float32]:
    """Signal at TE 0 and R2* (1/ms) of the tissue mixture on the head's grid."""
    head, b0 = exam.patient.head, exam.site.field_strength_t
    scan = exam.scans[Role.SUSC]
    signal = mix(head.tissues, lambda tissue: _steady(tissue, scan, b0))
    weighted = mix(
        head.tissues, lambda tissue: _steady(tissue, scan, b0) / at_field(tissue.t2star_ms, b0)
    )
    iron = np.float32(RELAXIVITY_HZ_PER_PPM * b0 / 3 / 1000) * head.iron_ppm
    return signal, weighted / np.maximum(signal, 1e-6) + iron


def _bodies(tube: Tube | None, fine: Geometry, signal: float, ppm: float) -> list[Body]:
    """Paint a tube, if there is one and any of it lies in the slab."""
    if tube is None or not inside_box(tube, fine, 5):
        return []
    return [Body(paint(tube, fine), signal, ppm)]


def _veins(exam: Examination, fine: Geometry) -> Iterator[Body]:
    signal = VEIN_SIGNAL * grey_signal(exam.scans[Role.SUSC], exam.site.field_strength_t)
    side = exam.patient.congested_side
    for tube in exam.patient.veins:
        # Blood that flows slowly gives up more oxygen; the sinuses mix it with that of both sides.
        prominent = tube.name.startswith(SMALL_VEINS) and tube.name.endswith(f"_{side}")
        ppm = VEIN_PPM + (ISCHAEMIC_VEIN_PPM if prominent else 0.0)
        yield from _bodies(tube, fine, signal, ppm)


def draw_inflow(exam: Examination) -> dict[str, float]:
    """Return the signal of flowing blood in every artery, relative to grey matter."""
    rng = exam.stream("inflow")
    return {
        name: float(rng.uniform(*(SIPHON_SIGNAL if name.startswith("ICA") else INFLOW_SIGNAL)))
        for name in exam.patient.arteries
    }


def _arteries(exam: Examination, fine: Geometry) -> Iterator[Body]:
    patient = exam.patient
    grey = grey_signal(exam.scans[Role.SUSC], exam.site.field_strength_t)
    signals = draw_inflow(exam)
    for tube in patient.arteries.values():
        inflow = signals[tube.name]
        flowing, standing = patient.split_flow(tube)
        yield from _bodies(flowing, fine, inflow * grey, 0.0)
        yield from _bodies(standing, fine, STAGNANT_SIGNAL * grey, patient.stagnant_ppm)


def _sources(exam: Examination, fine: Geometry) -> Iterator[Body]:
    grey = grey_signal(exam.scans[Role.SUSC], exam.site.field_strength_t)
    for source in exam.patient.sources:
        yield from _bodies(source.body, fine, SOURCE_SIGNAL[source.kind] * grey, source.ppm)


def clot_maps(exam: Examination, grid: Grid) -> ClotMaps | None:
    """Paint the thrombus; None where there is none or no part of it in the slab."""
    fine = grid.fine
    pieces = exam.patient.clot.pieces if exam.patient.clot is not None else ()
    painted = [(piece, paint(piece.tube, fine)) for piece in pieces]
    together = Painted(
        np.concatenate([np.zeros(0, np.int64), *(part.flat for _, part in painted)]),
        np.concatenate([np.zeros(0, np.float32), *(part.fraction for _, part in painted)]),
    )
    if not together.flat.size:
        return None
    box = _whole_voxels(surroundings(together, fine, BOX_MARGIN_MM), grid)
    shape = tuple(part.stop - part.start for part in box)
    share, ppm = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    shares = []
    corner = np.array([part.start for part in box])
    for piece, voxels in painted:
        index = np.stack(np.unravel_index(voxels.flat, fine.shape), axis=1)
        local = tuple((index - corner).T)
        alone = np.zeros(shape, np.float32)
        alone[local] = voxels.fraction
        shares.append(alone)
        values = piece.susceptibility(fine.to_lps(index))
        fuller = alone > share
        own = np.zeros(shape, np.float32)
        own[local] = values
        ppm[fuller] = own[fuller]
        share = np.maximum(share, alone)
    return ClotMaps(box, tuple(shares), share, ppm, _standing_blood(exam, fine, box))


def _standing_blood(exam: Examination, fine: Geometry, box: Box) -> Float32:
    """Susceptibility of the blood that stands still in a box, ppm (slice, row, column)."""
    corner = fine.to_lps([part.start for part in box])
    part = axial_grid(corner, fine.spacing, tuple(part.stop - part.start for part in box))
    ppm = np.zeros(part.shape, np.float32)
    for tube in exam.patient.arteries.values():
        _, standing = exam.patient.split_flow(tube)
        if standing is not None and inside_box(standing, part, 5):
            paint(standing, part).blend(ppm, exam.patient.stagnant_ppm)
    return ppm


def _whole_voxels(box: Box, grid: Grid) -> Box:
    """Widen a box of the fine grid to whole voxels of the image."""
    first, second, third = (
        slice(part.start // f * f, -(-part.stop // f) * f)
        for part, f in zip(box, grid.factor, strict=True)
    )
    return first, second, third


def with_clot(exam: Examination, grid: Grid, healthy: Spins, maps: ClotMaps) -> Spins:
    """Return the spins of the thrombus's box with the thrombus in it."""
    b0 = exam.site.field_strength_t
    share, ppm, replaced = (
        torch.from_numpy(m).to(exam.device) for m in (maps.share, maps.ppm, maps.replaced_ppm)
    )
    field = dipole_field(
        share * (ppm - replaced), grid.fine.spacing, exam.b0_direction, margin=BOX_PADDING
    )
    signal = CLOT_SIGNAL * grey_signal(exam.scans[Role.SUSC], b0)
    base, slope = blood_r2star_per_ms(0.0, b0), RELAXIVITY_HZ_PER_PPM * b0 / 3 / 1000
    return Spins(
        signal=healthy.signal + share * (signal - healthy.signal),
        decay_per_ms=healthy.decay_per_ms + share * (base + slope * ppm - healthy.decay_per_ms),
        field_ppm=healthy.field_ppm + field,
    )
