"""Thrombi: where they sit, how long they are, how much iron they hold, and what they starve."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from training.simulate.anatomy import Float64
from training.simulate.vessels import STEP_MM, Tube

# Share of occlusion sites, and median (mm) and log deviation of the clot's length there.
SITES: dict[str, tuple[float, float, float]] = {
    "ICA": (0.15, 18.0, 0.6),
    "M1": (0.38, 11.0, 0.6),
    "M2": (0.24, 8.0, 0.55),
    "M3": (0.08, 5.0, 0.5),
    "ACA": (0.03, 5.0, 0.5),
    "PCA": (0.06, 5.0, 0.5),
    "BA": (0.06, 10.0, 0.6),
}
VESSELS_OF_SITE: dict[str, tuple[str, ...]] = {
    "ICA": ("ICA",),
    "M1": ("M1",),
    "M2": ("M2S", "M2I"),
    "M3": ("M3S", "M3A", "M3I"),
    "ACA": ("A1", "A2"),
    "PCA": ("P1", "P2"),
    "BA": ("BA",),
}
PROXIMAL_SITES = frozenset({"ICA", "M1", "BA"})
LENGTH_LIMITS_MM = (3.0, 45.0)
CARDIOEMBOLIC_SHARE = 0.6
# Mean and deviation of susceptibility in ppm (in vivo QSM of basilar clots).
CARDIOEMBOLIC_PPM = (0.42, 0.09)
OTHER_PPM = (0.22, 0.11)
LOWEST_PPM = 0.02
TEXTURE = 0.2
TWO_LAYER_SHARE = 0.15
FRAGMENT_SHARE = 0.07


@dataclass(frozen=True, eq=False)
class Piece:
    """One connected thrombus.

    Attributes
    ----------
    tube : Tube
        Its lumen.
    susceptibility_ppm : float64 array (n,)
        Along the centreline, relative to water.
    """

    tube: Tube
    susceptibility_ppm: Float64


@dataclass(frozen=True, eq=False)
class Clot:
    """All thrombi of a case and the vessels without flow.

    Attributes
    ----------
    site : str
        Key of SITES.
    pieces : tuple of Piece
        The main thrombus first, then fragments.
    without_flow : mapping of str to int
        For each tube behind the clot the first station without flow.
    """

    site: str
    pieces: tuple[Piece, ...]
    without_flow: dict[str, int]


def draw_clot(arteries: dict[str, Tube], rng: np.random.Generator) -> Clot:
    """Draw an occlusion of one artery, now and then with distal fragments."""
    site = str(rng.choice(list(SITES), p=[share for share, _, _ in SITES.values()]))
    host = _draw_host(site, arteries, rng)
    path = _downstream_path(host, arteries, rng)
    first = _draw_start(site, host, rng)
    _, median, deviation = SITES[site]
    length = float(np.clip(median * np.exp(rng.normal(0, deviation)), *LENGTH_LIMITS_MM))
    mean_ppm = _draw_susceptibility(rng)
    pieces = [_cut_piece(path, first, length, mean_ppm, rng)]
    without_flow = dict.fromkeys(descendants(host.name, arteries), 0)
    if site == "ICA" and rng.random() < 0.7:
        # The anterior cerebral artery is then filled through the anterior communicating one.
        side = host.name[-2:]
        filled = {"A1" + side, "A2" + side}
        without_flow = {name: 0 for name in without_flow if name not in filled}
    if without_flow and rng.random() < FRAGMENT_SHARE:
        pieces += _draw_fragments(list(without_flow), arteries, mean_ppm, rng)
    return Clot(site, tuple(pieces), {host.name: first, **without_flow})


def _draw_host(site: str, arteries: dict[str, Tube], rng: np.random.Generator) -> Tube:
    hosts = [
        tube
        for name, tube in arteries.items()
        if name.removesuffix("_R").removesuffix("_L") in VESSELS_OF_SITE[site]
    ]
    return hosts[int(rng.integers(len(hosts)))]


def _draw_start(site: str, host: Tube, rng: np.random.Generator) -> int:
    # Terminal carotid clots end in the terminus; others start anywhere but the last part.
    low, high = (0.6, 0.95) if site == "ICA" else (0.0, 0.75)
    return int(rng.uniform(low, high) * (len(host.centreline) - 1))


def descendants(name: str, arteries: dict[str, Tube]) -> list[str]:
    """Names of all tubes downstream of one."""
    children = [tube.name for tube in arteries.values() if tube.parent == name]
    return children + [far for child in children for far in descendants(child, arteries)]


def _downstream_path(host: Tube, arteries: dict[str, Tube], rng: np.random.Generator) -> Tube:
    """Join the host and one branch after another into a single tube."""
    lines, radii, current = [host.centreline], [host.radius_mm], host
    while children := [t for t in arteries.values() if t.parent == current.name]:
        # An embolus follows the straighter, wider way: the middle cerebral artery before the A1.
        widest = max(children, key=lambda tube: tube.radius_mm[0] * rng.uniform(0.9, 1.1))
        lines.append(widest.centreline[1:])
        radii.append(widest.radius_mm[1:])
        current = widest
    return Tube(host.name, np.concatenate(lines), np.concatenate(radii))


def _cut_piece(
    path: Tube, first: int, length_mm: float, mean_ppm: float, rng: np.random.Generator
) -> Piece:
    # A spline's points lie a little further apart than its knots say: measure along the curve.
    steps = np.linalg.norm(np.diff(path.centreline[first:], axis=0), axis=1)
    count = 1 + max(1, int(np.searchsorted(np.cumsum(steps), length_mm)))
    last = first + count
    radius = path.radius_mm[first:last] * rng.uniform(0.9, 1.1)
    texture = ndimage.gaussian_filter1d(rng.normal(size=count), 1.0 / STEP_MM, mode="nearest")
    profile = 1 + TEXTURE * texture / max(float(texture.std()), 1e-6)
    if rng.random() < TWO_LAYER_SHARE:
        profile[: count // 2] *= 0.4
    ppm = np.clip(mean_ppm * profile, LOWEST_PPM, None)
    return Piece(Tube("clot", path.centreline[first:last], radius), ppm)


def _draw_susceptibility(rng: np.random.Generator) -> float:
    cardioembolic = rng.random() < CARDIOEMBOLIC_SHARE
    mean, deviation = CARDIOEMBOLIC_PPM if cardioembolic else OTHER_PPM
    return max(LOWEST_PPM, float(rng.normal(mean, deviation)))


def _draw_fragments(
    names: list[str], arteries: dict[str, Tube], mean_ppm: float, rng: np.random.Generator
) -> list[Piece]:
    distal = [name for name in names if name.startswith(("M2", "M3", "A2", "P2"))] or names
    pieces = []
    for _ in range(rng.integers(1, 3)):
        tube = arteries[distal[int(rng.integers(len(distal)))]]
        first = int(rng.uniform(0.2, 0.8) * (len(tube.centreline) - 1))
        pieces.append(_cut_piece(tube, first, rng.uniform(3, 6), mean_ppm, rng))
    return pieces
