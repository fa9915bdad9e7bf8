"""What is measured of one case: findings against a label, by any overlap, IoU, centre and surface.

A label is cut into clots as the service cuts probabilities into findings, so that both are
measured alike. Against a label with several clots, IoU, centre and length of the most probable
finding are taken with the clots that it touches together, or with the nearest if it touches none.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from monai.metrics import compute_dice, compute_hausdorff_distance, compute_iou
from scipy import ndimage

from service.domain.finding import Finding
from service.domain.geometry import Geometry
from service.domain.model_spec import ModelSpec, combination
from service.domain.sequence import Role
from service.domain.volume import Volume
from service.stages.extract_findings import Extraction, extract_findings
from training.calibration import VoxelCalibration, calibrate_voxels
from training.dataset import Mask, PreparedCase

LabelName = Literal["target", "lumen"]
LABELS: tuple[LabelName, ...] = ("target", "lumen")
LEAST_IOU = 0.1
CENTRE_MM = 5.0
SURFACE_PERCENTILE = 95
# What cases are of.
SIMULATED, REAL = "simulated", "real"
NO_CLOT = "no clot"
NOT_STATED = "not stated"
# Whether a clot darkens the susceptibility images enough to be drawn; one that does not is labelled
# by its lumen, and only other sequences can tell of it.
VISIBLE, INVISIBLE, NOT_SHOWN = "visible on SUSC", "not visible on SUSC", "no SUSC"
VISIBILITIES = (VISIBLE, INVISIBLE, NOT_SHOWN, NOT_STATED, NO_CLOT)


@dataclass(frozen=True, eq=False)
class Label:
    """A label and its clots, which are numbered from 1 as findings are.

    Attributes
    ----------
    mask : bool array (slice, row, column)
    clots : Extraction
        Its connected parts and their measurements.
    """

    mask: Mask
    clots: Extraction

    @classmethod
    def of(cls, mask: Mask, grid: Geometry, spec: ModelSpec) -> "Label":
        """Cut a label into clots, however small."""
        whole = replace(spec, threshold=0.5, min_volume_mm3=0.0)
        volume = Volume(mask.astype(np.float32), grid)
        return cls(mask, extract_findings(volume, whole, midline_x=0.0))

    @property
    def mm3(self) -> float:
        """Volume of all clots."""
        return float(sum(clot.volume_mm3 for clot in self.clots.findings))


@dataclass(frozen=True, eq=False)
class Subject:
    """A prepared case with both labels cut into clots: made once, measured many times."""

    case: PreparedCase
    target: Label
    lumen: Label
    cohort: str = ""

    @classmethod
    def of(cls, case: PreparedCase, spec: ModelSpec, cohort: str = "") -> "Subject":
        """Cut the labels of a case."""
        grid = case.network_input.grid
        target, lumen = (Label.of(mask, grid, spec) for mask in (case.target, case.lumen))
        return cls(case, target, lumen, cohort)


@dataclass(frozen=True)
class Agreement:
    """How the findings of a case agree with one label.

    Attributes
    ----------
    with_clot : bool
        Whether there is anything to find.
    found : bool
        Whether any finding touches the label.
    touched, overlapped, centred : bool
        Whether the most probable finding touches the label, has an IoU above 0.1 with it, has its
        centre within 5 mm of the label's.
    iou, centre_mm : float or None
        Of the most probable finding; None without a finding or a label.
    dice : float
        Of all findings together; 1 if there is neither a finding nor a label.
    hits : tuple of bool
        For every finding, by falling probability: whether it touches the label.
    false_positives : int
        Findings that do not.
    clot_scores : tuple of float
        For every clot of the label the highest score of a finding that touches it, else 0.
    wrong_regions, clot_regions : tuple of float
        Of all regions above the threshold, findings or not for want of a peak: the scores of those
        that touch no clot, and as ``clot_scores``.
    label_mm3, volume_error_mm3 : float
        Volume of the label; that of all findings together less that of the label.
    volume_error_relative : float or None
        As a share of the label's volume; None without a label.
    hd95_mm : float or None
        95th percentile of the distances between the surfaces of all findings and of the label,
        the worse direction; None unless ``touched``.
    length_error_mm : float or None
        Feret diameter of the most probable finding less that of the longest clot it touches; None
        unless ``touched``.
    """

    with_clot: bool
    found: bool
    touched: bool
    overlapped: bool
    centred: bool
    iou: float | None
    centre_mm: float | None
    dice: float
    hits: tuple[bool, ...]
    false_positives: int
    clot_scores: tuple[float, ...]
    wrong_regions: tuple[float, ...]
    clot_regions: tuple[float, ...]
    label_mm3: float
    volume_error_mm3: float
    volume_error_relative: float | None
    hd95_mm: float | None
    length_error_mm: float | None


@dataclass(frozen=True)
class CaseResult:
    """Everything that is measured of one case from one selection of its sequences.

    Attributes
    ----------
    seed, site, cohort
        Which case it is.
    data : str
        SIMULATED or REAL.
    occlusion : str
        Occluded artery; "no clot", or "not stated" if the case does not say.
    visibility : str
        VISIBLE, INVISIBLE or NOT_SHOWN; "no clot", or "not stated" if nobody knows.
    sequences : str
        The roles that the network saw, as ``service.domain.model_spec.combination`` names them.
    missing : int
        How many of the network's roles it did not see.
    score : float
        Highest probability of the whole map: how sure the network is that there is a clot.
    scores : tuple of float
        Probability of every finding, falling.
    target, lumen : Agreement
        With the training label, and with the true clot.
    voxels : VoxelCalibration or None
        Against the training label; None where it was not asked for.
    """

    seed: int
    site: str
    cohort: str
    data: str
    occlusion: str
    visibility: str
    sequences: str
    missing: int
    score: float
    scores: tuple[float, ...]
    target: Agreement
    lumen: Agreement
    voxels: VoxelCalibration | None = None

    def against(self, label: LabelName) -> Agreement:
        """Return the agreement with one of the labels."""
        return self.target if label == "target" else self.lumen


def measure(
    subject: Subject,
    probability: Volume,
    spec: ModelSpec,
    kept: frozenset[Role] = frozenset(Role),
    *,
    voxels: bool = False,
) -> CaseResult:
    """Extract the findings as the service does and compare them with both labels.

    Parameters
    ----------
    kept : frozenset of Role
        Sequences that were not taken away before the network ran.
    voxels : bool
        Whether to measure the calibration of voxels too.
    """
    midline_x = subject.case.network_input.head_centre_lps[0]
    extraction = extract_findings(probability, spec, midline_x=midline_x)
    regions = extract_findings(probability, replace(spec, peak=0.0), midline_x=midline_x)
    parameters = subject.case.parameters
    flags = zip(spec.input.roles, subject.case.network_input.presence, strict=True)
    seen = [role for role, flag in flags if flag and role in kept]
    return CaseResult(
        seed=int(parameters["seed"]),
        site=str(parameters["site"]),
        cohort=subject.cohort,
        data=SIMULATED if "simulator" in parameters else REAL,
        occlusion=_occlusion(subject),
        visibility=_visibility(subject.case, seen),
        sequences=combination(seen),
        missing=len(spec.input.roles) - len(seen),
        score=float(probability.voxels.max()),
        scores=tuple(finding.probability for finding in extraction.findings),
        target=compare(extraction, subject.target, regions),
        lumen=compare(extraction, subject.lumen, regions),
        voxels=_calibration(subject, probability, extraction) if voxels else None,
    )


def _calibration(subject: Subject, probability: Volume, extraction: Extraction) -> VoxelCalibration:
    predicted = extraction.mask.voxels > 0
    spacing = probability.geometry.spacing
    return calibrate_voxels(probability.voxels, predicted, subject.case.target, spacing)


def _occlusion(subject: Subject) -> str:
    if not subject.case.target.any():
        return NO_CLOT
    patient = subject.case.parameters.get("patient") or {}
    return str((patient.get("clot") or {}).get("site", NOT_STATED))


def _visibility(case: PreparedCase, seen: Sequence[Role]) -> str:
    if not case.target.any():
        return NO_CLOT
    if "simulator" not in case.parameters:
        return NOT_STATED
    if Role.SUSC not in seen:
        return NOT_SHOWN
    return INVISIBLE if np.array_equal(case.target, case.lumen) else VISIBLE


def compare(extraction: Extraction, label: Label, regions: Extraction | None = None) -> Agreement:
    """Compare findings with a label on the same grid.

    Parameters
    ----------
    regions : Extraction, optional
        Of the same probabilities without the condition of a peak; the findings, if not given.
    """
    findings, clots = extraction.findings, label.clots.findings
    pairs = _touching(extraction.mask.voxels, label.clots.mask.voxels)
    everything, touching = findings, pairs
    if regions is not None:
        everything = regions.findings
        touching = _touching(regions.mask.voxels, label.clots.mask.voxels)
    hits = tuple(any(one == finding.number for one, _ in pairs) for finding in findings)
    touched = bool(hits) and hits[0]
    matched = _matched(findings, clots, pairs)
    iou = _iou(extraction, label, matched)
    centre_mm = _centre_distance(findings[0], matched) if matched else None
    predicted = extraction.mask.voxels > 0
    volume_error = sum(finding.volume_mm3 for finding in findings) - label.mm3
    longest = max((clot.length_mm for clot in matched), default=0.0)
    spacing = extraction.mask.geometry.spacing
    return Agreement(
        with_clot=bool(clots),
        found=any(hits),
        touched=touched,
        overlapped=iou is not None and iou > LEAST_IOU,
        centred=centre_mm is not None and centre_mm <= CENTRE_MM,
        iou=iou,
        centre_mm=centre_mm,
        dice=dice(predicted, label.mask),
        hits=hits,
        false_positives=hits.count(False),
        clot_scores=_clot_scores(findings, clots, pairs),
        wrong_regions=_wrong_scores(everything, touching),
        clot_regions=_clot_scores(everything, clots, touching),
        label_mm3=label.mm3,
        volume_error_mm3=volume_error,
        volume_error_relative=volume_error / label.mm3 if clots else None,
        hd95_mm=hd95(predicted, label.mask, spacing) if touched else None,
        length_error_mm=findings[0].length_mm - longest if touched else None,
    )


def _touching(
    findings: npt.NDArray[np.uint16], clots: npt.NDArray[np.uint16]
) -> set[tuple[int, int]]:
    """Return the numbers of every finding and clot that share a voxel."""
    inside = np.flatnonzero(clots)
    shared = np.stack([findings.ravel()[inside], clots.ravel()[inside]])
    return {(int(one), int(other)) for one, other in np.unique(shared, axis=1).T if one}


def _matched(
    findings: tuple[Finding, ...], clots: tuple[Finding, ...], pairs: set[tuple[int, int]]
) -> list[Finding]:
    """Return the clots to compare the most probable finding with: touched, else the nearest."""
    if not findings or not clots:
        return []
    touched = [clot for clot in clots if (1, clot.number) in pairs]
    return touched or [min(clots, key=lambda clot: _centre_distance(findings[0], [clot]))]


def _centre_distance(finding: Finding, clots: list[Finding]) -> float:
    """Distance in mm from a finding's centre to that of all voxels of some clots."""
    centres = [clot.centroid_lps for clot in clots]
    centre = np.average(centres, axis=0, weights=[clot.voxel_count for clot in clots])
    return float(np.linalg.norm(centre - finding.centroid_lps))


def _iou(extraction: Extraction, label: Label, matched: list[Finding]) -> float | None:
    if not matched:
        return None
    wanted = np.isin(label.clots.mask.voxels, [clot.number for clot in matched])
    best = extraction.mask.voxels == 1
    # In float32 a tenth would be above 0.1.
    return float(compute_iou(*(part.double() for part in _cropped(best, wanted))))


def _clot_scores(
    findings: tuple[Finding, ...], clots: tuple[Finding, ...], pairs: set[tuple[int, int]]
) -> tuple[float, ...]:
    return tuple(
        max((f.probability for f in findings if (f.number, clot.number) in pairs), default=0.0)
        for clot in clots
    )


def _wrong_scores(findings: tuple[Finding, ...], pairs: set[tuple[int, int]]) -> tuple[float, ...]:
    touching = {number for number, _ in pairs}
    return tuple(one.probability for one in findings if one.number not in touching)


def ignore_library_warnings() -> None:
    """Spare whoever runs a command what MONAI says of itself."""
    # It calls its own function with an argument that it has deprecated.
    warnings.filterwarnings("ignore", "monai.metrics.utils get_mask_edges", FutureWarning)


def dice(one: Mask, other: Mask) -> float:
    """Return the Dice coefficient; 1 when both are empty."""
    return float(compute_dice(*_cropped(one, other), ignore_empty=False))


def hd95(one: Mask, other: Mask, spacing: tuple[float, float, float]) -> float:
    """Return the 95th percentile of the surface distances in mm; neither may be empty."""
    distance = compute_hausdorff_distance(
        *_cropped(one, other),
        include_background=True,
        percentile=SURFACE_PERCENTILE,
        spacing=list(spacing),
    )
    return float(distance)


def _cropped(one: Mask, other: Mask) -> tuple[torch.Tensor, torch.Tensor]:
    """Cut both to the box that holds them, as MONAI takes them: (1, 1, slice, row, column)."""
    box = next(
        iter(ndimage.find_objects((one | other).astype(np.uint8))), (slice(0, 1),) * one.ndim
    )
    first, second = (torch.from_numpy(part[box].astype(np.float32)) for part in (one, other))
    return first[None, None], second[None, None]
