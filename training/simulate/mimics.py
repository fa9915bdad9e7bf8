"""What else is dark on susceptibility-weighted images: microbleeds, calcium, petechiae.

Veins, iron-rich nuclei, air and flow voids are part of the vessels and of the head.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from training.simulate.clot import Arteries
from training.simulate.head import Head
from training.simulate.painting import ball
from training.simulate.territory import Infarct
from training.simulate.tube import Tube

Float64 = npt.NDArray[np.float64]

# Share of patients with microbleeds, their number, radius and susceptibility.
MICROBLEED_SHARE = 0.32
MICROBLEED_COUNT = (1, 8)
MICROBLEED_RADIUS_MM = (0.5, 2.0)
MICROBLEED_PPM = (0.3, 1.0)
# Calcium is diamagnetic. Centres in MNI mm (right, anterior, superior), and how often it is there.
CALCIFICATIONS: dict[str, tuple[tuple[float, float, float], float]] = {
    "choroid plexus right": ((22, -40, 6), 0.6),
    "choroid plexus left": ((-22, -40, 6), 0.6),
    "pineal gland": ((0, -29, 3), 0.65),
    "falx": ((0, 20, 42), 0.15),
    "globus pallidus right": ((20, -4, -1), 0.05),
    "globus pallidus left": ((-20, -4, -1), 0.05),
}
CALCIUM_PPM = (-1.0, -0.3)
CALCIUM_RADIUS_MM = (0.7, 2.2)
# Plaques of the carotid siphon and the vertebral arteries.
PLAQUE_SHARE = 0.35
PLAQUE_RADIUS_MM = (0.5, 1.1)
PETECHIAE_SHARE = 0.08
PETECHIAE_PPM = (0.2, 0.5)
PETECHIAE_RADIUS_MM = (0.8, 2.5)


@dataclass(frozen=True, eq=False)
class Source:
    """A small body with a susceptibility of its own.

    Attributes
    ----------
    kind : str
        "microbleed", "calcification" or "petechia".
    place : str
        Anatomical name, or "brain".
    body : Tube
        A ball.
    ppm : float
        Susceptibility relative to water; negative for calcium.
    """

    kind: str
    place: str
    body: Tube
    ppm: float


def draw_sources(
    head: Head, arteries: Arteries, infarct: Infarct, rng: np.random.Generator
) -> tuple[Source, ...]:
    """Draw the microbleeds, calcifications and petechiae of a patient."""
    return (
        *_microbleeds(head, rng),
        *_calcifications(head, rng),
        *_plaques(arteries, rng),
        *_petechiae(head, infarct, rng),
    )


def _source(
    names: tuple[str, str],
    centre: Float64,
    radii: tuple[float, float],
    ppm: tuple[float, float],
    rng: np.random.Generator,
) -> Source:
    kind, place = names
    body = ball(kind, centre, float(rng.uniform(*radii)))
    return Source(kind, place, body, float(rng.uniform(*ppm)))


def _microbleeds(head: Head, rng: np.random.Generator) -> list[Source]:
    if rng.random() >= MICROBLEED_SHARE:
        return []
    step = 4
    brain = (head.tissues["grey"] + head.tissues["white"])[::step, ::step, ::step] > 0.9
    inside = np.argwhere(brain & (head.surface_mm[::step, ::step, ::step] < -4)) * step
    chosen = inside[rng.integers(len(inside), size=int(rng.integers(*MICROBLEED_COUNT)))]
    return [
        _source(("microbleed", "brain"), centre, MICROBLEED_RADIUS_MM, MICROBLEED_PPM, rng)
        for centre in head.geometry.to_lps(chosen + rng.uniform(-2, 2, chosen.shape))
    ]


def _calcifications(head: Head, rng: np.random.Generator) -> list[Source]:
    found = []
    for name, (centre, share) in CALCIFICATIONS.items():
        if rng.random() < share:
            lps = np.array(centre) * [-1.0, -1.0, 1.0]
            place = np.asarray(head.place(lps)) + rng.normal(0, 1.5, 3)
            source = _source(("calcification", name), place, CALCIUM_RADIUS_MM, CALCIUM_PPM, rng)
            found.append(source)
    return found


def _plaques(arteries: Arteries, rng: np.random.Generator) -> list[Source]:
    found = []
    for tube in arteries.values():
        if tube.name.startswith(("ICA", "VA")) and rng.random() < PLAQUE_SHARE:
            station = int(rng.integers(len(tube.centreline)))
            outward = rng.normal(size=3)
            outward /= np.linalg.norm(outward)
            place = tube.centreline[station] + outward * tube.radius_mm[station]
            source = _source(
                ("calcification", f"wall of {tube.name}"), place, PLAQUE_RADIUS_MM, CALCIUM_PPM, rng
            )
            found.append(source)
    return found


def _petechiae(head: Head, infarct: Infarct, rng: np.random.Generator) -> list[Source]:
    """Draw haemorrhagic transformation: a few bleeds inside the infarct."""
    inside = np.argwhere(infarct.fraction[::2, ::2, ::2] > 0.7) * 2
    if rng.random() >= PETECHIAE_SHARE or not len(inside):
        return []
    chosen = inside[rng.integers(len(inside), size=int(rng.integers(2, 7)))]
    return [
        _source(("petechia", "infarct"), centre, PETECHIAE_RADIUS_MM, PETECHIAE_PPM, rng)
        for centre in head.geometry.to_lps(chosen)
    ]
