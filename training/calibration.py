"""Whether probabilities mean what they say: of voxels near a clot or a finding, and of cases."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from monai.metrics import compute_roc_auc
from monai.metrics.calibration import calibration_binning
from scipy import ndimage, stats
from scipy.special import entr

Float = npt.NDArray[np.floating[Any]]
Mask = npt.NDArray[np.bool_]

BINS = 10
# Far from every clot and finding nearly all voxels are right at a probability of 0; counting them
# would make any network look calibrated.
NEAR_MM = 10.0
LEAST_PAIRS = 4


@dataclass(frozen=True)
class Bins:
    """Probabilities sorted into BINS equal bins.

    Attributes
    ----------
    count : tuple of int
    confidence, frequency : tuple of float
        Mean probability and share of true ones of each bin; 0 where it is empty.
    """

    count: tuple[int, ...]
    confidence: tuple[float, ...]
    frequency: tuple[float, ...]

    @classmethod
    def of(cls, probability: Float, truth: Mask) -> "Bins":
        """Sort (n,) probabilities and what was true."""
        binned = calibration_binning(
            torch.from_numpy(probability.astype(np.float32))[None, None],
            torch.from_numpy(truth.astype(np.float32))[None, None],
            num_bins=BINS,
        )
        confidence, frequency, count = (torch.nan_to_num(part[0, 0]).tolist() for part in binned)
        return cls(tuple(int(n) for n in count), tuple(confidence), tuple(frequency))

    @classmethod
    def pooled(cls, parts: Sequence["Bins"]) -> "Bins":
        """Put the bins of several cases together, each of its members counting once."""
        count = np.sum([part.count for part in parts], axis=0)
        least_one = np.maximum(count, 1)
        confidence, frequency = (
            np.sum([np.multiply(part.count, getattr(part, name)) for part in parts], axis=0)
            / least_one
            for name in ("confidence", "frequency")
        )
        return cls(tuple(count.tolist()), tuple(confidence.tolist()), tuple(frequency.tolist()))

    @property
    def expected_error(self) -> float:
        """Expected calibration error: mean distance of confidence and frequency, by count."""
        distance = np.abs(np.subtract(self.confidence, self.frequency))
        return float(np.average(distance, weights=self.count))


@dataclass(frozen=True)
class VoxelCalibration:
    """Calibration of the voxels within 10 mm of a finding or the label, and uncertainty.

    Attributes
    ----------
    bins : Bins or None
        None if there is neither a finding nor a label; so are the two after it.
    expected_error, brier : float or None
        Expected calibration error, and mean squared distance of probability and truth.
    entropy_bits : float or None
        Mean binary entropy of the voxels of the findings; None without a finding. No label is
        needed to know it.
    """

    bins: Bins | None
    expected_error: float | None
    brier: float | None
    entropy_bits: float | None


def calibrate_voxels(
    probability: Float, predicted: Mask, label: Mask, spacing: tuple[float, float, float]
) -> VoxelCalibration:
    """Measure calibration near findings and label; arrays (slice, row, column), spacing in mm."""
    box, near = _near(predicted | label, spacing)
    inside = probability[predicted].astype(np.float64)
    entropy = float(np.mean(entr(inside) + entr(1 - inside)) / np.log(2)) if inside.size else None
    if not near.any():
        return VoxelCalibration(None, None, None, entropy)
    values, truth = probability[box][near], label[box][near]
    bins = Bins.of(values, truth)
    return VoxelCalibration(bins, bins.expected_error, brier(values, truth), entropy)


def brier(probability: Float, truth: Mask) -> float:
    """Mean squared distance of probability and truth."""
    return float(np.mean((probability.astype(np.float64) - truth) ** 2))


def _near(mask: Mask, spacing: tuple[float, float, float]) -> tuple[tuple[slice, ...], Mask]:
    """Return the box around what lies within NEAR_MM of a mask, and what does, inside the box."""
    boxes = ndimage.find_objects(mask.astype(np.uint8))
    if not boxes:
        return (slice(0),) * mask.ndim, mask[:0, :0, :0]
    margins = np.ceil(np.divide(NEAR_MM, spacing)).astype(int)
    box = tuple(
        slice(max(0, int(edge.start - margin)), int(edge.stop + margin))
        for edge, margin in zip(boxes[0], margins, strict=True)
    )
    distance = ndimage.distance_transform_edt(~mask[box], sampling=spacing)
    return box, np.asarray(distance) <= NEAR_MM


def case_reliability(scores: Iterable[float], with_clot: Iterable[bool]) -> dict[str, Any]:
    """Return how far the highest probability of a case says whether it has a clot.

    ``area_under_roc`` is None if all cases have a clot, or none.
    """
    probability, truth = np.array(list(scores)), np.array(list(with_clot), bool)
    bins = Bins.of(probability, truth)
    return {
        "cases": len(probability),
        "expected_calibration_error": bins.expected_error,
        "brier": brier(probability, truth),
        "area_under_roc": _area_under_roc(probability, truth),
        "bins": bins,
    }


def _area_under_roc(probability: Float, truth: Mask) -> float | None:
    if truth.all() or not truth.any():
        return None
    area = compute_roc_auc(torch.from_numpy(probability), torch.from_numpy(truth.astype(int)))
    return float(area)


def rank_correlation(one: Sequence[float], other: Sequence[float]) -> dict[str, Any]:
    """Spearman's rank correlation with its p-value and 95 % interval (Fisher's z of the ranks).

    All three are None for fewer than four pairs, or where one of the two never changes.
    """
    if len(one) < LEAST_PAIRS or len(set(one)) == 1 or len(set(other)) == 1:
        return {"pairs": len(one), "rho": None, "interval": None, "p_value": None}
    correlation = stats.pearsonr(stats.rankdata(one), stats.rankdata(other))
    interval = correlation.confidence_interval(0.95)
    return {
        "pairs": len(one),
        "rho": float(correlation.statistic),
        "interval": [float(interval.low), float(interval.high)],
        "p_value": float(correlation.pvalue),
    }
