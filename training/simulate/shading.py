"""The receive coil: brighter where its elements are near, and a little uneven everywhere."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

Float64 = npt.NDArray[np.float64]

NODES = (3, 4, 4)
UNEVEN = 0.12
# How much brighter the rim of the image is than its middle, before the scanner's correction.
RIM = (0.0, 0.5)


@dataclass(frozen=True, eq=False)
class Shading:
    """A smooth positive factor around 1.

    Attributes
    ----------
    nodes : float64 array (slice, row, column)
        Its logarithm on a coarse grid over the image, corner on corner.
    rim : float
        How much brighter the rim is than the middle.
    """

    nodes: Float64
    rim: float

    def over(self, shape: tuple[int, ...], device: torch.device) -> torch.Tensor:
        """Return the factor for an image (slice, row, column), float32."""
        nodes = torch.from_numpy(self.nodes.astype(np.float32)).to(device)
        smooth = torch.nn.functional.interpolate(
            nodes[None, None], size=tuple(shape), mode="trilinear", align_corners=True
        )[0, 0]
        rows, columns = (torch.linspace(-1, 1, n, device=device) for n in shape[1:])
        distance = (rows[:, None] ** 2 + columns**2) / 2
        return torch.exp(smooth) * (1 + self.rim * (distance - 1 / 3))


def draw_shading(rng: np.random.Generator) -> Shading:
    """Draw the unevenness of a coil and the brightness of the rim."""
    return Shading(rng.normal(0, UNEVEN, NODES), float(rng.uniform(*RIM)))
