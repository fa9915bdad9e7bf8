"""Which volumes of a series are looked at, and what their pixels say."""

from collections.abc import Callable, Collection, Sequence

from service.domain.sequence import Classification, SequenceLabel
from service.domain.study import VolumeFacts
from service.domain.volume import Volume
from service.stages.plane_traits import b_value, component, number
from service.stages.volume_traits import TWO_ECHOES, Trait

# Labels that pixels can refute: a wrong one would reach the network.
_VETOED = frozenset(
    {SequenceLabel.ADC, SequenceLabel.PHASE, SequenceLabel.FLAIR, SequenceLabel.TOF}
)
# From this confidence on, headers have settled what pixels cannot refute.
_SETTLED = 0.95
# Of a series with more volumes alike (directions, time points), pixels would tell nothing new.
_MOST_VOLUMES = 12

# Reads the voxels of one volume; None where they cannot be had.
ReadVoxels = Callable[[VolumeFacts], Volume | None]


def _b_value_unknown(volume: VolumeFacts) -> bool:
    return b_value(volume.planes[0]) is None


class SeriesPixels:
    """Traits of the pixels of one series, read only where they can make a difference.

    Parameters
    ----------
    volumes : sequence of VolumeFacts
        All volumes of the series.
    usable : collection of str
        Identifiers of those that could get a role.
    read_voxels : callable
        Reads one volume; None where its pixels cannot be had.
    """

    def __init__(
        self, volumes: Sequence[VolumeFacts], usable: Collection[str], read_voxels: ReadVoxels
    ) -> None:
        self._volumes = volumes
        self._usable = usable
        self._read_voxels = read_voxels

    def __call__(self, volume: VolumeFacts, by_header: Classification) -> dict[str, Trait]:
        """Return the traits of the pixels; none where the header needs no help."""
        needed = by_header.label in _VETOED or by_header.confidence < _SETTLED
        # Without a b-value, a b0 image may go for a weighted one.
        needed = needed or (by_header.label is SequenceLabel.DWI and _b_value_unknown(volume))
        if not needed or volume.volume_id not in self._usable:
            return {}
        if len(self._volumes) > _MOST_VOLUMES:
            return {}
        from service.stages.pixel_traits import pixel_traits  # noqa: PLC0415 - headers alone go without

        seen = self._read_voxels(volume)
        return {} if seen is None else {**pixel_traits(seen), **self._decay(volume)}

    def _decay(self, volume: VolumeFacts) -> dict[str, Trait]:
        """Return how the signal falls from the first to the last echo of the series."""
        echoes = {
            echo: each
            for each in self._volumes
            if component(each.planes[0]) is component(volume.planes[0])
            and (echo := number(each.planes[0], "EchoTime", "EffectiveEchoTime")) is not None
        }
        if len(echoes) < TWO_ECHOES:
            return {}
        from service.stages.pixel_traits import echo_decay  # noqa: PLC0415 - as above

        first = self._read_voxels(echoes[min(echoes)])
        last = self._read_voxels(echoes[max(echoes)])
        return {} if first is None or last is None else echo_decay(first, last)
