"""The votes of all rules -> label and confidence of every volume of a series."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

from service.domain.sequence import Classification, Evidence, SequenceLabel
from service.domain.study import VolumeFacts
from service.stages.sequence_rules import PRIOR, RULES
from service.stages.volume_traits import Trait, Traits, series_traits, volume_traits

# Weight of a fact that needs no vote.
SETTLED = 20.0
# From this confidence on, the label does not hang on any single attribute.
CONFIDENT = 0.9
# What a label that hangs on one attribute has at most: enough for a role, no more.
FRAIL = 0.89

# What people wrote is one piece of evidence, wherever they wrote it.
_NAMES = ("SeriesDescription", "ProtocolName", "DerivationDescription")
_ATTRIBUTES = (
    *("SeriesDescription", "ProtocolName", "Manufacturer", "MagneticFieldStrength"),
    *("ImageType", "FrameType", "ComplexImageComponent", "AcquisitionContrast"),
    *("ScanningSequence", "SequenceVariant", "ScanOptions", "MRAcquisitionType", "AngioFlag"),
    *("SequenceName", "PulseSequenceName", "EchoPlanarPulseSequence"),
    *("EchoTime", "EffectiveEchoTime", "RepetitionTime", "InversionTime", "InversionTimes"),
    *("FlipAngle", "EchoTrainLength", "SliceThickness", "SpacingBetweenSlices"),
    *("DiffusionBValue", "DiffusionDirectionality", "DiffusionGradientOrientation"),
    *("DiffusionAnisotropyType", "ASLContext", "ASLTechniqueDescription", "ImageComments"),
    *("0019,100C", "0019,100D", "0019,100E", "0021,1175"),  # Siemens
    *("0019,1017", "0019,109C", "0019,109E", "0019,10BB", "0043,102F", "0043,1039"),  # GE
    *("2001,1003", "2001,1004", "2001,1020", "2005,10B0", "2005,140F", "2005,1429"),  # Philips
    *("0065,1009", "0065,100A", "0065,1037", "0065,102B", "0065,102D"),  # UIH
)
# Attributes that a header may lack, together or one at a time.
OMITTABLE = (_NAMES, *((name,) for name in _ATTRIBUTES))

_Items = tuple[tuple[str, Trait], ...]
_KEPT = 4096

# Traits that the pixels of a volume add to those of its header.
PixelTraits = Callable[[VolumeFacts, Classification], Mapping[str, Trait]]


def classify(traits: Traits) -> Classification:
    """Return the label with the highest log-odds, its share among all, and the votes.

    Evidence is in the order of its strength.
    """
    return _classify(tuple(sorted(traits.items())))


# Many volumes of a study have the same traits, and most attributes can go without changing any.
@lru_cache(maxsize=_KEPT)
def _classify(items: _Items) -> Classification:
    traits = dict(items)
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


def classify_series(
    volumes: Sequence[VolumeFacts], pixel_traits: PixelTraits | None = None
) -> list[Classification]:
    """Classify the volumes of one series.

    A label that another one would replace if a single attribute were missing is right only as far
    as that attribute is: its confidence stays below `CONFIDENT`.

    Parameters
    ----------
    volumes : sequence of VolumeFacts
        All volumes of the series, each with planes.
    pixel_traits : callable, optional
        Gives further traits of a volume, with its label by the header in hand.
    """
    of_series = series_traits(volumes)
    poorer = _PoorerSeries(volumes)
    known: dict[_Items, Classification] = {}
    found = []
    for volume in volumes:
        traits = volume_traits(volume, of_series)
        extra = pixel_traits(volume, classify(traits)) if pixel_traits is not None else {}
        # Directions and time points of a series are alike: what is true of one is of all.
        key = tuple(sorted({**traits, **extra}.items()))
        if key not in known:
            known[key] = poorer.limited(volume, extra, classify({**traits, **extra}))
        found.append(known[key])
    return found


class _PoorerSeries:
    """The same series with attributes missing, to see which labels survive that."""

    def __init__(self, volumes: Sequence[VolumeFacts]) -> None:
        self._volumes = volumes
        self._of_series: dict[tuple[str, ...], dict[str, Trait]] = {}

    def limited(self, volume: VolumeFacts, extra: Traits, found: Classification) -> Classification:
        """Return the classification, its confidence limited if it hangs on one attribute."""
        if found.confidence < CONFIDENT or all(
            classify({**self._traits(volume, names), **extra}).label is found.label
            for names in OMITTABLE
            if any(name in volume.planes[0].attributes for name in names)
        ):
            return found
        return replace(found, confidence=FRAIL)

    def _traits(self, volume: VolumeFacts, names: tuple[str, ...]) -> dict[str, Trait]:
        if names not in self._of_series:
            self._of_series[names] = series_traits(
                [_without(each, names) for each in self._volumes]
            )
        return volume_traits(_without(volume, names), self._of_series[names])


def _without(volume: VolumeFacts, names: Iterable[str]) -> VolumeFacts:
    """Return the volume with its first plane lacking these attributes; traits read no other."""
    first = volume.planes[0]
    left = {key: value for key, value in first.attributes.items() if key not in names}
    return replace(volume, planes=(replace(first, attributes=left), *volume.planes[1:]))


def settled(label: SequenceLabel, rule_id: str, attribute: str, value: str) -> Classification:
    """Return the classification by a fact that needs no vote."""
    return Classification(label, 1.0, (Evidence(rule_id, attribute, value, label, SETTLED),))
