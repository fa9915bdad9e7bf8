"""Echo-planar diffusion imaging: b0, the trace image at the site's b-value, and their ADC."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from service.domain.geometry import Geometry
from service.domain.sequence import Role
from training.simulate.acquisition import Grid, apply
from training.simulate.companion import (
    Flaws,
    blend,
    disturbed,
    draw_flaws,
    moved,
    sample,
    wide_veins,
)
from training.simulate.examination import Examination
from training.simulate.painting import paint, surroundings
from training.simulate.physics import dipole_field
from training.simulate.tissue import (
    GAMMA_BAR_MHZ_PER_T,
    TISSUES,
    Tissue,
    at_field,
    blood_r2star_per_ms,
)

Float32 = npt.NDArray[np.float32]

FINEST_MM = 1.0
# What fat saturation leaves.
FAT_LEFT = 0.15
# Flowing blood leaves the slice between the pulses.
FLOW_LEFT = 0.15
VENOUS_LEFT = 0.5
STANDING_LEFT = 0.7
# How far around a thrombus its field moves signal.
CLOT_REACH_MM = 20.0
NYQUIST_GHOST = (0.0, 0.03)
# Below this many noise deviations b0 is noise and the scanner writes no diffusion coefficient.
ADC_FLOOR = 4.0
ADC_RANGE = (0.0, 4000.0)


@dataclass(frozen=True)
class DiffusionDraws:
    """What is drawn beyond the protocol.

    Attributes
    ----------
    polarity : int
        Along which way of the rows a raised field moves signal.
    nyquist_ghost : float
        Share of the image that comes back half a field of view away.
    """

    polarity: int
    nyquist_ghost: float
    flaws: Flaws


@dataclass(frozen=True, eq=False)
class DiffusionImages:
    """b0 and trace in arbitrary units, ADC in 1e-6 mm2/s, float32 tensors (slice, row, column)."""

    b0: torch.Tensor
    trace: torch.Tensor
    adc: torch.Tensor
    grid: Grid
    draws: DiffusionDraws


def render_diffusion(exam: Examination) -> DiffusionImages:
    """Render the diffusion images of an examination."""
    rng = exam.stream("diffusion")
    draws = DiffusionDraws(
        polarity=int(rng.choice([-1, 1])),
        nyquist_ghost=float(rng.uniform(*NYQUIST_GHOST)),
        flaws=draw_flaws(rng),
    )
    grid = exam.grid(Role.DWI, finest_mm=FINEST_MM)
    scan, encoding = exam.scans[Role.DWI], grid.encoding(exam.device)
    hertz = _field_hz(exam, grid.fine)
    shift = draws.polarity * hertz * (grid.factor[1] / scan.protocol.bandwidth_hz_per_px)
    images = []
    for signal in _objects(exam, grid.fine):
        image = apply(encoding, distort(torch.from_numpy(signal).to(exam.device), shift))
        half = image.shape[1] // 2
        images.append(image + draws.nyquist_ghost * image.roll(half, dims=1))
    deviation = _trace_signal(exam, TISSUES["grey"]) / scan.signal_to_noise
    noise = exam.stream("diffusion noise")
    b0, trace = (disturbed(image, draws.flaws, grid.geometry, deviation, noise) for image in images)
    return DiffusionImages(b0, trace, adc_map(b0, trace, scan.b_value, deviation), grid, draws)


def adc_map(
    b0: torch.Tensor, trace: torch.Tensor, b_value: float, deviation: float
) -> torch.Tensor:
    """Return the apparent diffusion coefficient in 1e-6 mm2/s, 0 where b0 is noise.

    Parameters
    ----------
    b_value : float
        s/mm2.
    deviation : float
        Of the noise.
    """
    quotient = trace.clamp(min=1e-6) / b0.clamp(min=1e-6)
    adc = (-torch.log(quotient) / b_value * 1e6).clamp(*ADC_RANGE)
    return torch.where(b0 > ADC_FLOOR * deviation, adc, torch.zeros_like(adc))


def distort(signal: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
    """Move signal along the rows by ``shift`` samples; what is pushed together adds up.

    Both (slice, row, column). Echo-planar imaging encodes the field along with the position, and
    neither makes nor loses signal by it.
    """
    rows = signal.shape[1]
    place = torch.arange(rows, device=signal.device, dtype=torch.float32)[None, :, None] + shift
    low = place.floor()
    share = place - low
    total = torch.zeros_like(signal)
    for row, part in ((low, 1 - share), (low + 1, share)):
        inside = (row >= 0) & (row <= rows - 1)
        index = row.clamp(0, rows - 1).long()
        total.scatter_add_(1, index, torch.where(inside, signal * part, torch.zeros_like(signal)))
    return total


def _trace_signal(exam: Examination, tissue: Tissue) -> float:
    weighting = np.exp(-exam.scans[Role.DWI].b_value * 1e-3 * tissue.diffusivity)
    return float(spin_echo(exam, tissue) * weighting)


def _field_hz(exam: Examination, fine: Geometry) -> torch.Tensor:
    """Return the field of head and thrombus on the fine grid, in hertz."""
    pose = exam.poses[Role.DWI]
    field = pose.sample(exam.field_ppm, exam.patient.head.geometry, fine)
    for piece in exam.patient.clot.pieces if exam.patient.clot is not None else ():
        ppm = np.zeros(fine.shape, np.float32)
        painted = paint(moved(piece.tube, pose), fine)
        painted.blend(ppm, piece.mean_ppm)
        box = surroundings(painted, fine, CLOT_REACH_MM)
        chi = torch.from_numpy(ppm[box]).to(exam.device)
        field[box] += dipole_field(chi, fine.spacing, exam.b0_direction, margin=1.0)
    return field * (GAMMA_BAR_MHZ_PER_T * exam.site.field_strength_t)


def _objects(exam: Examination, fine: Geometry) -> tuple[Float32, Float32]:
    """Signal without and with diffusion weighting on the fine grid."""
    head, scan, infarct = exam.patient.head, exam.scans[Role.DWI], exam.patient.infarct
    b = scan.b_value * 1e-3
    plain = np.zeros(head.geometry.shape, np.float32)
    weighted = np.zeros(head.geometry.shape, np.float32)
    restricted = 1 - infarct.fraction * (1 - infarct.adc_ratio)
    for name, fraction in head.tissues.items():
        tissue = TISSUES[name]
        signal = fraction * np.float32(spin_echo(exam, tissue) * (FAT_LEFT if name == "fat" else 1))
        plain += signal
        slowed = restricted if name in ("grey", "white") else np.float32(1)
        weighted += signal * np.exp(np.float32(-b * tissue.diffusivity) * slowed)
    images = tuple(sample(exam, Role.DWI, m, fine) for m in (plain, weighted))
    for image in images:
        _paint_vessels(exam, fine, image)
    return images[0], images[1]


def spin_echo(exam: Examination, tissue: Tissue) -> float:
    """Return the signal of a tissue on the image without diffusion weighting."""
    protocol, field = exam.scans[Role.DWI].protocol, exam.site.field_strength_t
    recovery = 1 - np.exp(-protocol.repetition_ms / at_field(tissue.t1_ms, field))
    decay = np.exp(-protocol.echo_times_ms[0] / at_field(tissue.t2_ms, field))
    return float(tissue.density * recovery * decay)


def _paint_vessels(exam: Examination, fine: Geometry, image: Float32) -> None:
    """Blood is dark or faint, the thrombus and other iron are void."""
    pose, patient, field = exam.poses[Role.DWI], exam.patient, exam.site.field_strength_t
    typical = float(np.median(image[image > 0.2 * image.max()]))
    for tube in wide_veins(patient.veins):
        blend(tube, pose, fine, image, VENOUS_LEFT * typical)
    for tube in patient.arteries.values():
        flowing, standing = patient.split_flow(tube)
        blend(flowing, pose, fine, image, FLOW_LEFT * typical)
        blend(standing, pose, fine, image, STANDING_LEFT * typical)
    echo = exam.scans[Role.DWI].protocol.echo_times_ms[0]
    bodies = [(source.body, source.ppm) for source in patient.sources]
    bodies += [(p.tube, p.mean_ppm) for p in (patient.clot.pieces if patient.clot else ())]
    for body, ppm in bodies:
        left = float(np.exp(-echo * blood_r2star_per_ms(ppm, field)))
        blend(body, pose, fine, image, left * typical)
