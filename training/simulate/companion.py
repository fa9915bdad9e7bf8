"""What the other sequences share: sampling the head, painting vessels, and the scanner's flaws."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from service.domain.geometry import Geometry
from service.domain.sequence import Role
from training.simulate.acquisition import Grid, apply
from training.simulate.examination import Examination
from training.simulate.motion import Pose, Restlessness, draw_restlessness
from training.simulate.painting import inside_box, paint
from training.simulate.physics import complex_noise
from training.simulate.shading import Shading, draw_shading
from training.simulate.site import SEQUENCE_OF_ROLE
from training.simulate.tube import Tube

Float32 = npt.NDArray[np.float32]
Draws = TypeVar("Draws")


# Thinner veins leave no trace in voxels of diffusion and FLAIR.
LEAST_VEIN_MM = 1.0


@dataclass(frozen=True)
class Flaws:
    """Movement and coil of one sequence, as drawn."""

    restlessness: Restlessness
    shading: Shading


def draw_flaws(rng: np.random.Generator) -> Flaws:
    """Draw movement and coil of one sequence."""
    return Flaws(draw_restlessness(rng), draw_shading(rng))


@dataclass(frozen=True, eq=False)
class CompanionImage(Generic[Draws]):
    """What the scanner stores of one sequence, and what was drawn for it.

    Attributes
    ----------
    magnitude : float32 tensor (slice, row, column)
        On the grid's image geometry.
    """

    magnitude: torch.Tensor
    grid: Grid
    draws: Draws


def acquired(
    exam: Examination, role: Role, grid: Grid, image: Float32, flaws: Flaws, grey: float
) -> torch.Tensor:
    """Encode a sequence's object (slice, row, column) and return its magnitude with all flaws.

    Parameters
    ----------
    grey : float
        Signal of grey matter, to which the noise is relative.
    """
    seen = apply(grid.encoding(exam.device), torch.from_numpy(image).to(exam.device))
    deviation = grey / exam.scans[role].signal_to_noise
    noise = exam.stream(f"{SEQUENCE_OF_ROLE[role]} noise")
    return disturbed(seen, flaws, grid.geometry, deviation, noise)


def disturbed(
    image: torch.Tensor, flaws: Flaws, grid: Geometry, deviation: float, rng: np.random.Generator
) -> torch.Tensor:
    """Return the magnitude of a real image with movement, shading and noise."""
    moved = flaws.restlessness.blur(image.to(torch.complex64), grid.spacing)
    shaded = moved * flaws.shading.over(tuple(image.shape), image.device)
    noise = complex_noise(tuple(image.shape), deviation, rng).to(image.device)
    return (shaded + noise).abs()


def sample(exam: Examination, role: Role, voxels: Float32, fine: Geometry) -> Float32:
    """Sample a map of the head where a sequence has its fine grid; an array of its own."""
    source = torch.from_numpy(np.ascontiguousarray(voxels)).to(exam.device)
    sampled = exam.poses[role].sample(source, exam.patient.head.geometry, fine)
    return np.asarray(sampled.cpu().numpy())


def moved(tube: Tube, pose: Pose) -> Tube:
    """Return a tube where it lies during a sequence."""
    return Tube(tube.name, pose.to_scanner(tube.centreline), tube.radius_mm, tube.parent)


def blend(tube: Tube | None, pose: Pose, fine: Geometry, image: Float32, value: float) -> None:
    """Mix a signal into an image, in place, in the share that a tube fills of each voxel."""
    if tube is not None:
        here = moved(tube, pose)
        if inside_box(here, fine, 5):
            paint(here, fine).blend(image, value)


def wide_veins(veins: Sequence[Tube]) -> list[Tube]:
    """Return the veins that sequences with large voxels can show."""
    return [tube for tube in veins if 2 * tube.radius_mm.max() >= LEAST_VEIN_MM]
