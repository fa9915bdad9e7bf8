"""Patients move: between sequences as a whole, and during one sequence line by line."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy.spatial.transform import Rotation

from service.domain.geometry import Geometry
from training.simulate.grids import resample

Float64 = npt.NDArray[np.float64]

# Between sequences: half of the patients lie still, the others move by a few millimetres.
STILL_SHARE = 0.5
BETWEEN_MM = 1.2
BETWEEN_DEG = 1.2
SLIGHT_MM = 0.3
# During a sequence: how far a still patient drifts, how often one jerks, and how far.
DRIFT_MM = 0.25
JERK_SHARE = 0.2
JERK_MM = (0.6, 3.0)
# Breathing and pulsation: amplitude, and cycles during the acquisition of k-space.
PERIODIC_MM = 0.25
PERIODIC_CYCLES = (8.0, 60.0)
# Slices resampled at once, so that the positions of their samples stay small in memory.
CHUNK = 16


@dataclass(frozen=True, eq=False)
class Pose:
    """Where a patient lies during one sequence, relative to the susceptibility-weighted one.

    Attributes
    ----------
    rotation_deg, shift_mm : float64 array (3,)
        About and along the simulation frame's axes (x, y, z), about ``centre``.
    centre : float64 array (3,)
        LPS mm.
    """

    rotation_deg: Float64
    shift_mm: Float64
    centre: Float64

    @property
    def matrix(self) -> Float64:
        """Rotation (3, 3)."""
        return np.asarray(Rotation.from_euler("xyz", self.rotation_deg, degrees=True).as_matrix())

    @property
    def turned(self) -> bool:
        """Whether the patient is rotated."""
        return bool(np.any(self.rotation_deg))

    def to_scanner(self, points: npt.ArrayLike) -> Float64:
        """Turn (..., 3) points of the patient into where they lie now."""
        apart = np.asarray(points, float) - self.centre
        return apart @ self.matrix.T + self.centre + self.shift_mm

    def to_patient(self, points: npt.ArrayLike) -> Float64:
        """Turn (..., 3) points of the scanner into points of the patient."""
        apart = np.asarray(points, float) - self.centre - self.shift_mm
        return apart @ self.matrix + self.centre

    def sample(self, voxels: torch.Tensor, source: Geometry, target: Geometry) -> torch.Tensor:
        """Sample a map of the patient on an axial grid of the scanner, linearly; 0 beyond.

        Parameters
        ----------
        voxels : float32 tensor (slice, row, column)
            On ``source``.
        """
        if not self.turned:
            moved = Geometry.from_components(
                origin=target.origin - self.shift_mm,
                axes=target.axes,
                spacing=target.spacing,
                shape=target.shape,
            )
            return resample(voxels, source, moved)
        return self._sample_turned(voxels, source, target)

    def _sample_turned(
        self, voxels: torch.Tensor, source: Geometry, target: Geometry
    ) -> torch.Tensor:
        start = source.to_index(self.to_patient(target.to_lps((0, 0, 0))))
        # Index steps in the source for one step along each axis of the target: columns.
        steps = np.stack(
            [source.to_index(self.to_patient(target.to_lps(unit))) - start for unit in np.eye(3)], 1
        )
        # grid_sample wants (x, y, z) in -1..1 from corner to corner.
        scale = 2 / (np.array(source.shape) - 1)
        counts = [torch.arange(n, device=voxels.device, dtype=torch.float32) for n in target.shape]
        rows, columns = counts[1][None, :, None], counts[2][None, None, :]
        sampled = torch.empty(target.shape, device=voxels.device)
        for first in range(0, target.shape[0], CHUNK):
            part = slice(first, first + CHUNK)
            slices = counts[0][part]
            index = [
                (
                    float(start[axis])
                    + float(steps[axis, 0]) * slices[:, None, None]
                    + float(steps[axis, 1]) * rows
                    + float(steps[axis, 2]) * columns
                )
                * float(scale[axis])
                - 1
                for axis in (2, 1, 0)
            ]
            where = torch.stack(index, dim=-1)
            sampled[part] = torch.nn.functional.grid_sample(
                voxels[None, None], where[None], align_corners=True
            )[0, 0]
        return sampled


def draw_pose(centre: Float64, rng: np.random.Generator) -> Pose:
    """Draw how a patient moved before a sequence."""
    still = rng.random() < STILL_SHARE
    rotation = rng.normal(0, BETWEEN_DEG, 3)
    shift = rng.normal(0, 1, 3)
    if still:
        return Pose(np.zeros(3), shift * SLIGHT_MM, centre)
    return Pose(rotation, shift * BETWEEN_MM, centre)


@dataclass(frozen=True, eq=False)
class Restlessness:
    """Movement while k-space is filled row by row.

    Attributes
    ----------
    drift_mm : float64 array (2,)
        Along (row, column) from the first to the last line.
    jerk_mm : float64 array (2,)
        Sudden step at ``jerk_at`` (0..1 of the acquisition); 0 in most patients.
    periodic_mm : float64 array (2,)
        Amplitude of breathing and pulsation.
    cycles : float
        Periods during the acquisition.
    """

    drift_mm: Float64
    jerk_mm: Float64
    jerk_at: float
    periodic_mm: Float64
    cycles: float

    def blur(self, image: torch.Tensor, spacing: tuple[float, float, float]) -> torch.Tensor:
        """Return the complex image (slice, row, column) with ghosts and blur of the movement."""
        rows, columns = image.shape[1:]
        # Lines are taken in order of their frequency: the middle of k-space in mid-acquisition.
        order = np.fft.fftfreq(rows) * rows
        time = (order + rows // 2) / rows
        moved = (
            np.outer(time - 0.5, self.drift_mm)
            + np.outer((time > self.jerk_at) ^ (self.jerk_at < 0.5), self.jerk_mm)
            + np.outer(np.sin(2 * np.pi * self.cycles * time), self.periodic_mm)
        )
        down = order / rows * moved[:, 0] / spacing[1]
        across = np.outer(moved[:, 1] / spacing[2], np.fft.fftfreq(columns))
        turns = torch.from_numpy((down[:, None] + across).astype(np.float32)).to(image.device)
        ramp = torch.polar(torch.ones_like(turns), -2 * np.pi * turns)
        return torch.fft.ifft2(torch.fft.fft2(image) * ramp)


def draw_restlessness(rng: np.random.Generator) -> Restlessness:
    """Draw the movement during one sequence."""
    jerks = rng.random() < JERK_SHARE
    jerk = rng.uniform(*JERK_MM) * rng.choice([-1, 1], 2) * rng.uniform(0, 1, 2)
    return Restlessness(
        drift_mm=rng.normal(0, DRIFT_MM, 2),
        jerk_mm=jerk if jerks else np.zeros(2),
        # Before the outer third of k-space nobody would keep the images.
        jerk_at=float(rng.choice([rng.uniform(0.05, 0.3), rng.uniform(0.7, 0.95)])),
        periodic_mm=np.abs(rng.normal(0, PERIODIC_MM, 2)) * np.array([1.0, 0.4]),
        cycles=float(rng.uniform(*PERIODIC_CYCLES)),
    )
