"""A simulated examination: what the hospital's archive would hold, and the truth beside it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from service.domain.sequence import Role
from service.domain.volume import Volume
from training.simulate.site import Scan, Site

Mask = npt.NDArray[np.bool_]

# Changes whenever the same seed gives another case.
SIMULATOR_VERSION = "2.2"

# Fewer visible voxels than this, or less than this share of the lumen, and the clot counts as
# invisible: the label for training is then the lumen.
LEAST_VISIBLE_VOXELS = 6
LEAST_VISIBLE_SHARE = 0.3


def is_visible(lumen: Mask, svs: Mask) -> bool:
    """Whether enough of a clot (slice, row, column) is visible to be drawn."""
    enough = max(LEAST_VISIBLE_VOXELS, LEAST_VISIBLE_SHARE * int(lumen.sum()))
    return bool(lumen.any()) and int(svs.sum()) >= enough


@dataclass(frozen=True, eq=False)
class Case:
    """One simulated patient examined at one site. No patient, no real image.

    Attributes
    ----------
    seed : int
        Of the patient: the same seed at another site is the same patient there.
    site : Site
    scans : mapping of Role to Scan
        What was drawn of every sequence that is present.
    volumes : mapping of Role to Volume
        float32 (slice, row, column), each on a grid of its own, in patient LPS mm; slices may be
        oblique. SUSC, DWI, FLAIR and TOF are magnitudes in arbitrary units; PHASE is in radians
        -pi..pi with the sign the scanner stores; ADC in 1e-6 mm2/s.
    b0 : Volume or None
        Echo-planar image without diffusion weighting, on the grid and in the unit of DWI.
    lumen, svs : Volume
        Boolean, on the grid of SUSC (also where SUSC itself is missing): the true clot, and the
        dark region it causes on the image that the site stores, as drawn by the annotator.
    microbleeds : Volume
        Boolean, on the grid of SUSC: the voxels that microbleeds fill.
    parameters : mapping
        Everything that was drawn, as JSON would hold it.
    """

    seed: int
    site: Site
    scans: Mapping[Role, Scan]
    volumes: Mapping[Role, Volume]
    b0: Volume | None
    lumen: Volume
    svs: Volume
    microbleeds: Volume
    parameters: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Short name of the case, the same wherever it is written."""
        return f"{self.site.name}{self.seed:04d}"

    @property
    def visible(self) -> bool:
        """Whether the clot can be seen on the susceptibility-weighted image."""
        return is_visible(self.lumen.voxels, self.svs.voxels)

    @property
    def target(self) -> Volume:
        """Label for training: ``svs``, or ``lumen`` where the clot is not visible on SUSC."""
        return self.svs if self.visible else self.lumen
