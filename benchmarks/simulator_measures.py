"""What is measured on simulated examinations and compared with publications."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage

from service.domain.geometry import Geometry
from service.domain.sequence import Role
from training.simulate.acquisition import Grid
from training.simulate.diffusion import render_diffusion
from training.simulate.examination import Examination
from training.simulate.grids import axial_grid
from training.simulate.labels import block_mean, tissue_around
from training.simulate.painting import ball, paint
from training.simulate.physics import dipole_field
from training.simulate.susceptibility import SusceptibilityImages, clean_images
from training.simulate.tube import STEP_MM, Tube

Float32 = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Index = npt.NDArray[np.int64]

# The threshold reader: dark voxels that hang together inside an artery, of at least this volume.
READER_MM3 = 10.0
# How dark, relative to the tissue around: readers differ.
READER_RATIOS = (0.5, 0.6, 0.7, 0.8)
# Profiles across a thrombus: samples along and across, mm.
PROFILE_STEP_MM = 0.25
PROFILE_REACH_MM = 12.0
# Dark in the closed form of blooming.
CLOSED_FORM_RATIO = 0.6
# Neighbourhood in which a phase image is compared with the field of a unit source.
PHASE_REACH_MM = 8.0
PHASE_SIGNAL = 0.3


def dark_components(magnitude: Float32, around: Float32, ratio: float) -> npt.NDArray[Any]:
    """Label connected regions below a share of the tissue around, (slice, row, column)."""
    labels, _ = ndimage.label(magnitude < ratio * around, structure=np.ones((3, 3, 3)))
    return np.asarray(labels)


def reader_finds(
    magnitude: Float32, arteries: tuple[Mask, ...], grid: Geometry
) -> list[list[bool]]:
    """Whether a threshold reader reports a thrombus in each of some (slice, row, column) arteries.

    The reader sees the stored image and knows where arteries run: dark voxels inside one are
    reported if they hang together and are enough for noise not to make them.

    Returns
    -------
    list (ratio of READER_RATIOS) of list (artery) of bool
    """
    least = int(np.ceil(READER_MM3 / grid.voxel_volume))
    around = tissue_around(magnitude, grid.spacing)
    found = []
    for ratio in READER_RATIOS:
        dark = [artery & (magnitude < ratio * around) for artery in arteries]
        parts = [ndimage.label(part, structure=np.ones((3, 3, 3)))[0] for part in dark]
        found.append([bool((np.bincount(part.ravel())[1:] >= least).any()) for part in parts])
    return found


def width_across(mask: Mask, tube: Tube, grid: Geometry) -> float:
    """Return the largest width (mm) of a mask across a vessel in axial planes; 0 if nowhere."""
    stations = np.arange(2, len(tube.centreline) - 2, max(1, int(0.5 / STEP_MM)))
    if not len(stations):
        return 0.0
    course = tube.centreline[stations + 2] - tube.centreline[stations - 2]
    course /= np.linalg.norm(course, axis=1, keepdims=True)
    # In the axial plane, at right angles to the vessel.
    across = np.stack([-course[:, 1], course[:, 0], np.zeros(len(course))], axis=1)
    length = np.linalg.norm(across, axis=1, keepdims=True)
    across = np.where(length > 0.2, across / np.maximum(length, 1e-6), [1.0, 0.0, 0.0])
    offsets = np.arange(-PROFILE_REACH_MM, PROFILE_REACH_MM + 1e-6, PROFILE_STEP_MM)
    points = tube.centreline[stations][:, None] + offsets[:, None] * across[:, None]
    index = np.moveaxis(grid.to_index(points), -1, 0)
    inside = ndimage.map_coordinates(mask.astype(np.float32), index, order=0) > 0.5
    return float(inside.sum(axis=1).max() * PROFILE_STEP_MM)


def dark_section(exam: Examination, images: SusceptibilityImages, tube: Tube) -> float:
    """Return dark over true cross-section in the middle half of a thrombus's piece.

    As the closed form of an endless cylinder has it: without noise, dark is below 60 % of the
    background, and the ends do not count. Cut along the axis of the image that the piece follows
    most.
    """
    ideal = clean_images(exam, images.grid, images.draws.mask_sign, dark_ratio=CLOSED_FORM_RATIO)
    grid, count = images.grid.geometry, len(tube.centreline)
    middle = slice(count // 4, max(3 * count // 4, count // 4 + 2))
    course = tube.centreline[middle]
    direction = (course[-1] - course[0])[::-1] / np.linalg.norm(course[-1] - course[0])
    axis = int(np.argmax(np.abs(direction)))
    planes = np.unique(np.rint(grid.to_index(course)[:, axis]).astype(int))
    planes = planes[(planes >= 0) & (planes < grid.shape[axis])]
    true = np.pi * (tube.radius_mm[middle] ** 2).mean() / np.abs(direction[axis])
    area = grid.voxel_volume / grid.spacing[axis]
    return float(np.take(ideal.svs, planes, axis=axis).sum() / len(planes) * area / true)


def phase_sign(exam: Examination, images: SusceptibilityImages, body: Tube) -> float:
    """Return the correlation of the phase around a body with the field of a positive source."""
    grid = images.grid
    middle = body.centreline[len(body.centreline) // 2]
    centre = np.rint(grid.geometry.to_index(middle)).astype(int)
    reach = np.ceil(PHASE_REACH_MM / np.array(grid.geometry.spacing)).astype(int)
    low = np.maximum(centre - reach, 0)
    high = np.minimum(centre + reach + 1, grid.geometry.shape)
    if (high - low < 3).any():
        return 0.0
    fine = _part_of(grid, low, high)
    share = np.zeros(fine.shape, np.float32)
    paint(body, fine).blend(share, 1.0)
    alone = torch.from_numpy(share)
    field = dipole_field(alone, fine.spacing, exam.b0_direction, margin=1.0).numpy()
    expected = block_mean(field, grid.factor)
    here = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    phase = exam.scans[Role.SUSC].handedness * images.phase[here].numpy()
    magnitude = images.magnitude[here].numpy()
    seen = magnitude > PHASE_SIGNAL * np.median(magnitude)
    # Nothing to compare with where the body lies outside, or where there is no signal.
    if seen.sum() < 20 or expected[seen].std() == 0:
        return 0.0
    return float(np.corrcoef(phase[seen], expected[seen])[0, 1])


def _part_of(grid: Grid, low: Index, high: Index) -> Geometry:
    """Return the fine samples of some voxels of the image."""
    origin = grid.fine.to_lps(low * np.array(grid.factor))
    counts = (high - low) * np.array(grid.factor)
    return axial_grid(origin, grid.fine.spacing, tuple(int(n) for n in counts))


def microbleed_volumes(exam: Examination) -> list[float]:
    """Return the volume (mm3) below 60 % of the tissue around, of every bleed, without noise."""
    grid = exam.grid(Role.SUSC)
    magnitude = clean_images(exam, grid, 1).echoes[0].abs().numpy()
    around = tissue_around(magnitude, grid.geometry.spacing)
    labels = dark_components(magnitude, around, CLOSED_FORM_RATIO)
    volumes = []
    for source in exam.patient.sources:
        if source.kind == "microbleed":
            # A ball of a voxel around the centre decides which component is the bleed.
            core = paint(ball("core", source.body.centreline[1], 1.0), grid.geometry).flat
            found = np.unique(labels.reshape(-1)[core])
            count = int(np.isin(labels, found[found > 0]).sum()) if found.any() else 0
            volumes.append(count * grid.geometry.voxel_volume)
    return volumes


def adc_ratio(exam: Examination) -> float | None:
    """Return the stored ADC inside the infarct over that of other brain; None without infarct."""
    infarct, head = exam.patient.infarct, exam.patient.head
    images = render_diffusion(exam)
    pose, geometry = exam.poses[Role.ADC], images.grid.geometry

    def sampled(voxels: Float32) -> Float32:
        source = torch.from_numpy(np.ascontiguousarray(voxels))
        return np.asarray(pose.sample(source, head.geometry, geometry).numpy())

    core = sampled(infarct.fraction) > 0.7
    brain = sampled(head.tissues["grey"] + head.tissues["white"]) > 0.97
    healthy = brain & (sampled(infarct.fraction) < 0.01)
    adc = images.adc.numpy()
    if core.sum() < 10:
        return None
    return float(adc[core & (adc > 0)].mean() / adc[healthy & (adc > 0)].mean())
