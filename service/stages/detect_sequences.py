"""What every volume of a study is, how sure, why, and which of them the network gets.

Headers only: weighted rules vote for labels (`sequence_rules`), then each role goes to the best
volume of a fitting label (`assign_roles`).
"""

import math
from collections.abc import Iterator

from service.domain.errors import GeometryError
from service.domain.sequence import Classification, Evidence, SequenceLabel
from service.domain.study import (
    OWN_OUTPUT,
    ClassifiedVolume,
    DetectedSequences,
    Rejection,
    SeriesFacts,
    StudyFacts,
    VolumeFacts,
)
from service.stages.assign_roles import assign_roles
from service.stages.plane_grid import regular_grid
from service.stages.plane_traits import image_type
from service.stages.sequence_rules import PRIOR, RULES
from service.stages.split_series import split_series
from service.stages.volume_traits import Traits, series_traits, volume_traits

# Weight of a fact that needs no vote.
SETTLED = 20.0


def detect_sequences(study: StudyFacts, *, min_slices: int = 5) -> DetectedSequences:
    """Classify every volume of a study and choose the one of each role.

    Parameters
    ----------
    study : StudyFacts
        Header facts of one study.
    min_slices : int
        A volume with fewer slices gets a label but no role.

    Returns
    -------
    DetectedSequences
        All volumes in the order of the series; each has a role or a reason why not.
    """
    found: list[ClassifiedVolume] = []
    for series in study.series:
        found.extend(_classified(series, min_slices))
    return assign_roles(found)


def _classified(series: SeriesFacts, min_slices: int) -> Iterator[ClassifiedVolume]:
    volumes = split_series(series)
    if not series.planes:
        yield ClassifiedVolume(volumes[0], _not_an_image(series), rejection=_no_image(series))
        return
    of_series = series_traits(series, volumes)
    for volume in volumes:
        classification = classify(volume_traits(volume, of_series))
        yield ClassifiedVolume(volume, classification, rejection=_excluded(volume, min_slices))


def classify(traits: Traits) -> Classification:
    """Return the label with the highest log-odds, its share among all, and the votes.

    Evidence is in the order of its strength.
    """
    votes = [
        Evidence(rule.rule_id, rule.attribute, finding, rule.label, rule.weight)
        for rule in RULES
        if (finding := rule.finding(traits)) is not None
    ]
    odds = dict(PRIOR)
    for vote in votes:
        odds[vote.label] += vote.weight
    label = max(odds, key=lambda each: odds[each])
    share = 1.0 / sum(math.exp(other - odds[label]) for other in odds.values())
    return Classification(label, share, tuple(sorted(votes, key=lambda vote: -abs(vote.weight))))


def _not_an_image(series: SeriesFacts) -> Classification:
    vote = Evidence(
        "sop-class", "SOPClassUID", series.sop_class_uid, SequenceLabel.NON_IMAGE, SETTLED
    )
    return Classification(SequenceLabel.NON_IMAGE, 1.0, (vote,))


def _no_image(series: SeriesFacts) -> Rejection:
    if OWN_OUTPUT in series.attributes:
        return Rejection("OWN_OUTPUT", "a result of this service")
    return Rejection("NOT_AN_MR_IMAGE", f"SOP class {series.sop_class_uid}")


def _excluded(volume: VolumeFacts, min_slices: int) -> Rejection | None:
    """Return why a volume cannot be used whatever it is, None if it can."""
    plane = volume.planes[0]
    if plane.attributes.get("SamplesPerPixel", 1) != 1:
        return Rejection("COLOUR", "a colour image")
    if plane.position is None and {"MOSAIC", "VFRAME"} & set(image_type(plane)):
        return Rejection("MOSAIC_NOT_SUPPORTED", "the layout of the mosaic cannot be read")
    if None in (plane.position, plane.orientation, plane.pixel_spacing):
        return Rejection("MISSING_POSITION", "no position, orientation or pixel spacing")
    if len(volume.planes) < min_slices:
        return Rejection("TOO_FEW_SLICES", f"{len(volume.planes)} slices, {min_slices} are needed")
    try:
        regular_grid(volume.planes)
    except GeometryError as error:
        return Rejection(error.code, str(error))
    return None
