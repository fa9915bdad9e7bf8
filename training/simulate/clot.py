"""Thrombi: where they sit, how long they are, how much iron they hold, and what they starve.

Shares, lengths and susceptibilities are the published ones; see docs/simulator.md for the sources.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from training.simulate.tube import Tube

Float64 = npt.NDArray[np.float64]
Arteries = dict[str, Tube]


@dataclass(frozen=True)
class OcclusionSite:
    """Row of the table of occlusion sites.

    Attributes
    ----------
    share : float
        Of all thrombi.
    vessels : tuple of str
        Beginnings of the names of the tubes it can sit in.
    median_mm, deviation : float
        Log-normal length: median, and standard deviation of its logarithm.
    start : (float, float)
        Range of the thrombus's proximal end along the vessel, as a share of its length.
    """

    share: float
    vessels: tuple[str, ...]
    median_mm: float
    deviation: float
    start: tuple[float, float] = (0.0, 0.75)


OCCLUSION_SITES: dict[str, OcclusionSite] = {
    # Carotid-T clots lie in the terminus and reach into the middle cerebral artery.
    "ICA": OcclusionSite(0.15, ("ICA",), 18.0, 0.6, (0.75, 0.97)),
    "M1": OcclusionSite(0.38, ("M1",), 11.0, 0.6),
    "M2": OcclusionSite(0.24, ("M2",), 8.0, 0.55),
    "M3": OcclusionSite(0.08, ("M3",), 5.0, 0.5),
    "ACA": OcclusionSite(0.03, ("A1", "A2"), 5.0, 0.5),
    "PCA": OcclusionSite(0.06, ("P1", "P2"), 5.0, 0.5),
    "BA": OcclusionSite(0.06, ("BA",), 10.0, 0.6),
}
PROXIMAL_SITES = frozenset({"ICA", "M1", "BA"})
LENGTH_LIMITS_MM = (3.0, 45.0)
DIAMETER_FACTOR = (0.9, 1.1)

# Susceptibility in ppm: mean and deviation of in vivo QSM of basilar clots, 3 T.
CARDIOEMBOLIC_SHARE = 0.6
CARDIOEMBOLIC_PPM = (0.42, 0.09)
OTHER_PPM = (0.22, 0.11)
LOWEST_PPM = 0.02

# Standard deviation of the texture relative to the mean, and the length of its waves.
TEXTURE = 0.2
TEXTURE_WAVES = 24
TEXTURE_WAVELENGTH_MM = (1.5, 6.0)
TWO_LAYER_SHARE = 0.15
FRAGMENT_SHARE = 0.074
FRAGMENT_LENGTH_MM = (3.0, 6.0)
FRAGMENT_VESSELS = ("M2", "M3", "A2", "A3", "P2", "P3")
# How often the anterior communicating artery fills the A1 behind a carotid occlusion.
ANTERIOR_COLLATERAL = 0.7


@dataclass(frozen=True, eq=False)
class Texture:
    """Susceptibility inside a thrombus relative to its mean: waves in all directions.

    Attributes
    ----------
    waves : float64 array (n, 3)
        Wave vectors, rad/mm.
    phases : float64 array (n,)
    """

    waves: Float64
    phases: Float64

    def at(self, points: Float64) -> Float64:
        """Return factors around 1 with standard deviation TEXTURE at (n, 3) LPS points."""
        amplitude = TEXTURE * np.sqrt(2 / len(self.phases))
        return 1 + amplitude * np.cos(points @ self.waves.T + self.phases).sum(axis=1)


@dataclass(frozen=True, eq=False)
class Piece:
    """One connected thrombus.

    Attributes
    ----------
    vessel : str
        Tube in which its proximal end lies.
    tube : Tube
        Its lumen.
    mean_ppm : float
        Relative to water.
    layer_factor : float
        Of the susceptibility in its distal half; 1 for a thrombus of one layer.
    texture : Texture
    """

    vessel: str
    tube: Tube
    mean_ppm: float
    layer_factor: float
    texture: Texture

    def susceptibility(self, points: Float64) -> Float64:
        """Return ppm at (n, 3) LPS points of the lumen."""
        _, stations = cKDTree(self.tube.centreline).query(points)
        distal = stations >= len(self.tube.centreline) // 2
        layered = self.mean_ppm * np.where(distal, self.layer_factor, 1.0)
        return np.clip(layered * self.texture.at(points), LOWEST_PPM, None)


@dataclass(frozen=True, eq=False)
class Clot:
    """All thrombi of a patient and the vessels without flow.

    Attributes
    ----------
    site : str
        Key of OCCLUSION_SITES.
    side : str
        "R" or "L"; empty on the midline.
    cardioembolic : bool
    pieces : tuple of Piece
        The main thrombus first, then fragments.
    without_flow : mapping of str to int
        For each tube behind the clot the first station without flow.
    """

    site: str
    side: str
    cardioembolic: bool
    pieces: tuple[Piece, ...]
    without_flow: dict[str, int]

    @property
    def proximal(self) -> bool:
        """Whether a large artery is occluded."""
        return self.site in PROXIMAL_SITES


def draw_clot(arteries: Arteries, rng: np.random.Generator, *, even: bool = False) -> Clot:
    """Draw an occlusion of one artery, now and then with distal fragments.

    Parameters
    ----------
    even : bool
        Draw every site alike, not as often as patients have it.
    """
    shares = None if even else [row.share for row in OCCLUSION_SITES.values()]
    site = str(rng.choice(list(OCCLUSION_SITES), p=shares))
    row = OCCLUSION_SITES[site]
    hosts = [tube for name, tube in arteries.items() if name.startswith(row.vessels)]
    host = hosts[int(rng.integers(len(hosts)))]
    first = int(rng.uniform(*row.start) * (len(host.centreline) - 1))
    length = float(np.clip(row.median_mm * np.exp(rng.normal(0, row.deviation)), *LENGTH_LIMITS_MM))
    cardioembolic = bool(rng.random() < CARDIOEMBOLIC_SHARE)
    mean, deviation = CARDIOEMBOLIC_PPM if cardioembolic else OTHER_PPM
    ppm = max(LOWEST_PPM, float(rng.normal(mean, deviation)))
    path = _downstream_path(host, arteries, rng)
    pieces = [_cut_piece(path, first, length, ppm, rng)]
    without_flow = _without_flow(host, first, arteries, collateral=rng.random())
    if rng.random() < FRAGMENT_SHARE:
        pieces += _draw_fragments(without_flow, arteries, ppm, rng)
    side = host.name[-1] if host.name.endswith(("_R", "_L")) else ""
    return Clot(site, side, cardioembolic, tuple(pieces), without_flow)


def descendants(name: str, arteries: Arteries) -> list[str]:
    """Names of all tubes downstream of one."""
    children = [tube.name for tube in arteries.values() if tube.parent == name]
    return children + [far for child in children for far in descendants(child, arteries)]


def _without_flow(host: Tube, first: int, arteries: Arteries, collateral: float) -> dict[str, int]:
    """First station without flow of the host and of everything behind it."""
    starved = [
        name
        for child in arteries.values()
        if child.parent == host.name and _station(host, child.centreline[0]) >= first
        for name in (child.name, *descendants(child.name, arteries))
    ]
    if host.name.startswith("ICA") and collateral < ANTERIOR_COLLATERAL:
        side = host.name[-2:]
        filled = {f"A1{side}", *descendants(f"A1{side}", arteries)}
        starved = [name for name in starved if name not in filled]
    return {host.name: first, **dict.fromkeys(starved, 0)}


def _station(host: Tube, point: Float64) -> int:
    """Return where along a tube a branch leaves it."""
    return int(np.argmin(np.linalg.norm(host.centreline - point, axis=1)))


def _downstream_path(host: Tube, arteries: Arteries, rng: np.random.Generator) -> Tube:
    """Join the host and one branch after another into a single tube."""
    lines, radii, current = [host.centreline], [host.radius_mm], host
    while children := [t for t in arteries.values() if t.parent == current.name]:
        # An embolus follows the wider way: the middle cerebral artery before the A1. Side branches
        # leave their parent before its end and are no continuation of it.
        ends = [t for t in children if np.allclose(t.centreline[0], current.centreline[-1], atol=1)]
        if not ends:
            break
        current = max(ends, key=lambda tube: tube.radius_mm[0] * rng.uniform(0.9, 1.1))
        lines.append(current.centreline[1:])
        radii.append(current.radius_mm[1:])
    return Tube(host.name, np.concatenate(lines), np.concatenate(radii))


def _cut_piece(
    path: Tube, first: int, length_mm: float, ppm: float, rng: np.random.Generator
) -> Piece:
    # Measured along the curve: its points lie a little further apart than its knots say.
    steps = np.linalg.norm(np.diff(path.centreline[first:], axis=0), axis=1)
    last = first + 2 + int(np.searchsorted(np.cumsum(steps), length_mm))
    radius = path.radius_mm[first:last] * rng.uniform(*DIAMETER_FACTOR)
    directions = rng.normal(size=(TEXTURE_WAVES, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    wavelengths = rng.uniform(*TEXTURE_WAVELENGTH_MM, (TEXTURE_WAVES, 1))
    layered = rng.random() < TWO_LAYER_SHARE
    return Piece(
        vessel=path.name,
        tube=Tube("clot", path.centreline[first:last], radius),
        mean_ppm=ppm,
        layer_factor=float(rng.uniform(0.3, 0.6)) if layered else 1.0,
        texture=Texture(
            2 * np.pi * directions / wavelengths, rng.uniform(0, 2 * np.pi, TEXTURE_WAVES)
        ),
    )


def _draw_fragments(
    without_flow: dict[str, int], arteries: Arteries, ppm: float, rng: np.random.Generator
) -> list[Piece]:
    """Draw one or two distal fragments; none where no distal vessel lies behind the clot."""
    distal = [name for name in without_flow if name.startswith(FRAGMENT_VESSELS)]
    pieces = []
    for _ in range(int(rng.integers(1, 3)) if distal else 0):
        tube = arteries[distal[int(rng.integers(len(distal)))]]
        low = max(0.2, without_flow[tube.name] / len(tube.centreline) + 0.3)
        first = int(rng.uniform(min(low, 0.7), 0.8) * (len(tube.centreline) - 1))
        pieces.append(_cut_piece(tube, first, rng.uniform(*FRAGMENT_LENGTH_MM), ppm, rng))
    return pieces
