"""One simulated patient: head, vessels, thrombus, infarct and mimics, whatever scanner comes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from training.simulate.anatomy import Anatomy
from training.simulate.arteries import draw_arteries
from training.simulate.cisterns import open_cisterns
from training.simulate.clot import Clot, draw_clot
from training.simulate.head import Head, Warp, bend, draw_warp
from training.simulate.mimics import Source, draw_sources
from training.simulate.streams import stream
from training.simulate.territory import Infarct, draw_infarct
from training.simulate.tube import Tube
from training.simulate.veins import draw_veins

LoadAnatomy = Callable[[], Anatomy]

CLOT_FREE_SHARE = 0.15
# Share of lateral strokes whose veins on that side are prominent.
CONGESTED_SHARE = 0.34
# Blood that stands still behind a clot gives up its oxygen: its susceptibility in ppm.
STAGNANT_PPM = (0.0, 0.1)
# Share of patients whose vessels behind the clot shine on FLAIR: with a proximal occlusion (85 %)
# and otherwise (17 %), and whose TOF shows the stop (96 % and 39 %).
HYPERINTENSE_SHARE = {True: 0.85, False: 0.17}
STOP_SHOWN_SHARE = {True: 0.96, False: 0.39}


@dataclass(frozen=True, eq=False)
class Patient:
    """Everything that does not depend on the scanner, in the simulation frame (axial LPS, mm).

    Attributes
    ----------
    arteries : mapping of str to Tube
    veins : tuple of Tube
    clot : Clot or None
    sources : tuple of Source
        Microbleeds, calcifications, petechiae.
    congested_side : "R", "L" or None
        Side whose cortical and medullary veins are prominent.
    stagnant_ppm : float
        Susceptibility of the blood behind the clot.
    hyperintense_vessels : bool
        Whether slow flow behind the clot shines on FLAIR.
    stop_shown : bool
        Whether the vessels behind the clot are dark on TOF; else collaterals fill them.
    """

    seed: int
    head: Head
    warp: Warp
    arteries: Mapping[str, Tube]
    veins: tuple[Tube, ...]
    clot: Clot | None
    infarct: Infarct
    sources: tuple[Source, ...]
    congested_side: str | None
    stagnant_ppm: float
    hyperintense_vessels: bool
    stop_shown: bool

    def split_flow(self, tube: Tube) -> tuple[Tube | None, Tube | None]:
        """Cut an artery into its part with flow and its part without; None where there is none."""
        first = len(tube.centreline)
        if self.clot is not None:
            first = self.clot.without_flow.get(tube.name, first)
        return _part(tube, slice(0, first)), _part(tube, slice(first, None))


def _part(tube: Tube, stations: slice) -> Tube | None:
    centreline = tube.centreline[stations]
    if len(centreline) < 2:
        return None
    return Tube(tube.name, centreline, tube.radius_mm[stations], tube.parent)


def draw_patient(
    seed: int,
    heads: Mapping[str, LoadAnatomy],
    *,
    with_clot: bool | None = None,
    variety: float = 1.0,
    even_occlusions: bool = False,
) -> Patient:
    """Draw a patient; the same seed and heads give the same patient.

    Parameters
    ----------
    heads : mapping of str to callable
        What loads each head to draw from.
    with_clot : bool, optional
        Drawn if not given: 15 % have none.
    variety : float
        Factor by which heads and courses of arteries vary more than patients' do.
    even_occlusions : bool
        Whether every site of occlusion is drawn alike.
    """
    name = sorted(heads)[int(stream(seed, "anatomy").integers(len(heads)))]
    warp = draw_warp(stream(seed, "warp"), variety)
    bent = bend(heads[name](), warp)
    arteries = draw_arteries(bent.place, stream(seed, "arteries"), variety)
    head = open_cisterns(bent, arteries)
    drawn = stream(seed, "clot or not").random() >= CLOT_FREE_SHARE
    wanted = drawn if with_clot is None else with_clot
    clot = draw_clot(arteries, stream(seed, "clot"), even=even_occlusions) if wanted else None
    infarct = draw_infarct(head, clot, arteries, stream(seed, "infarct"))
    rng = stream(seed, "flow")
    side = draw_congested_side(clot, rng)
    proximal = clot is not None and clot.proximal
    return Patient(
        seed=seed,
        head=head,
        warp=warp,
        arteries=arteries,
        veins=tuple(draw_veins(head, stream(seed, "veins"), side)),
        congested_side=side,
        clot=clot,
        infarct=infarct,
        sources=draw_sources(head, arteries, infarct, stream(seed, "mimics")),
        stagnant_ppm=float(rng.uniform(*STAGNANT_PPM)),
        hyperintense_vessels=bool(rng.random() < HYPERINTENSE_SHARE[proximal]),
        stop_shown=bool(rng.random() < STOP_SHOWN_SHARE[proximal]),
    )


def draw_congested_side(clot: Clot | None, rng: np.random.Generator) -> str | None:
    """Draw whether the veins on the side of a stroke are prominent: "R", "L" or None."""
    prominent = rng.random() < CONGESTED_SHARE
    return (clot.side or None) if clot is not None and prominent else None


def brain_box(head: Head) -> tuple[np.ndarray, np.ndarray]:
    """Return the lowest and highest corner of the brain, LPS mm."""
    inside = head.surface_mm < 0
    corners = [np.flatnonzero(inside.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    low = head.geometry.to_lps([edge[0] for edge in corners])
    high = head.geometry.to_lps([edge[-1] for edge in corners])
    return low, high
