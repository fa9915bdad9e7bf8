"""Fluid around arteries: they run in cisterns and sulci, whatever the head."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from training.simulate.grids import Float32
from training.simulate.head import Head
from training.simulate.painting import paint
from training.simulate.tube import Tube

# Width of the fluid between an artery's wall and the brain, and of its soft border.
FLUID_MM = 0.8
# Perforating and cortical ends dive into the brain: thinner vessels make no cistern.
THINNEST_MM = 0.5


def open_cisterns(head: Head, arteries: Mapping[str, Tube]) -> Head:
    """Return a head whose brain leaves room around its arteries.

    The arteries' courses are the atlas's, bent with the head: in an individual's head they may cut
    into a gyrus that lies elsewhere in the atlas. Grey and white matter become fluid there.
    """
    opened = np.zeros(head.geometry.shape, np.float32)
    for tube in arteries.values():
        if tube.radius_mm.min() >= THINNEST_MM:
            wide = Tube(tube.name, tube.centreline, tube.radius_mm + FLUID_MM, tube.parent)
            painted = paint(wide, head.geometry)
            flat = opened.reshape(-1)
            flat[painted.flat] = np.maximum(flat[painted.flat], painted.fraction)
    tissues: dict[str, Float32] = dict(head.tissues)
    for name in ("grey", "white"):
        moved = tissues[name] * opened
        tissues["fluid"] = tissues["fluid"] + moved
        tissues[name] = tissues[name] - moved
    return replace(head, tissues=tissues, iron_ppm=head.iron_ppm * (1 - opened))
