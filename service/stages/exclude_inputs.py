"""Why a labelled volume may not reach the network, whatever its rank among others."""

import re
from collections.abc import Sequence

from service.domain.sequence import LABELS_OF_ROLE, Role, SequenceLabel
from service.domain.study import ClassifiedVolume, PlaneFacts, Rejection
from service.stages import sequence_words as words
from service.stages.plane_traits import (
    Component,
    Direction,
    b_value,
    component,
    direction,
    folded_words,
    image_type,
)

MIN_CONFIDENCE = 0.5
# Trace images of a lower b-value show too little of an infarct (s/mm2).
MIN_B_VALUE = 500.0

_LABELS = {label for labels in LABELS_OF_ROLE.values() for label in labels}
_DIFFUSION = LABELS_OF_ROLE[Role.DWI]
_PROCESSED_TYPES = frozenset({"SUBTRACTION", "SUB", "NOISE", "MASK", "FUSION"})
_ALWAYS_PROCESSED = re.compile(words.PROCESSED)
_PROCESSED_IF_DERIVED = re.compile(
    "|".join((words.PROCESSED, words.PROCESSED_IF_DERIVED, words.DRAWN_ON))
)


def unfit(found: ClassifiedVolume, among: Sequence[ClassifiedVolume]) -> Rejection | None:
    """Return why a volume may play no role, None if it may.

    A wrong image in a channel of the network is worse than a missing one: what an image is named
    after, and which part of the signal it shows, count here against any number of votes.

    Parameters
    ----------
    found : ClassifiedVolume
        With its label.
    among : sequence of ClassifiedVolume
        All volumes of the study.
    """
    label, confidence = found.classification.label, found.classification.confidence
    if label not in _LABELS:
        return Rejection("NOT_AN_INPUT", f"{label} is no input of the network")
    if confidence < MIN_CONFIDENCE:
        detail = f"{label} with confidence {confidence:.2f}, {MIN_CONFIDENCE} is needed"
        return Rejection("LOW_CONFIDENCE", detail)
    plane = found.volume.planes[0]
    shown = component(plane)
    if label is not SequenceLabel.PHASE and shown is not Component.MAGNITUDE:
        return Rejection("NOT_A_MAGNITUDE", f"{label} in name, but the {shown.lower()} of a signal")
    return _processed(plane, label) or (
        _wrong_weighting(found, among) if label in _DIFFUSION else None
    )


def _processed(plane: PlaneFacts, label: SequenceLabel) -> Rejection | None:
    """Reject masks, fusions, and maps of other things than diffusion."""
    types = set(image_type(plane))
    named = _PROCESSED_TYPES & types
    pattern = _PROCESSED_IF_DERIVED if "DERIVED" in types else _ALWAYS_PROCESSED
    text = pattern.search(folded_words([plane.attributes.get("SeriesDescription")]))
    if not named and text is None:
        return None
    name = min(named) if named else text[0] if text is not None else ""
    return Rejection(
        "PROCESSED", f"{label} by its header, but named after what was made of it: {name}"
    )


def _wrong_weighting(
    found: ClassifiedVolume, among: Sequence[ClassifiedVolume]
) -> Rejection | None:
    weighting = b_value(found.volume.planes[0])
    if weighting is None and _may_be_b0(found):
        alike = [each for each in among if _may_be_b0(each)]
        if len(alike) > 1:
            # One of them may be b0, on which an infarct does not show.
            detail = f"one of {len(alike)} diffusion volumes of unknown b-value"
            return Rejection("UNKNOWN_B_VALUE", detail)
    elif weighting is not None and weighting < MIN_B_VALUE:
        detail = f"b-value {weighting:g}, at least {MIN_B_VALUE:g} s/mm2 is needed"
        return Rejection("LOW_B_VALUE", detail)
    return None


def _may_be_b0(found: ClassifiedVolume) -> bool:
    """Whether nothing says that a diffusion volume is weighted; a trace always is."""
    if found.classification.label not in _DIFFUSION or not found.volume.planes:
        return False
    plane = found.volume.planes[0]
    return b_value(plane) is None and direction(plane) is not Direction.ISOTROPIC
