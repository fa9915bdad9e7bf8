"""Phase in radians and ADC in 1e-6 mm2/s, from whatever unit a file has.

The sidecar's ``Units`` decide where they name a unit; without, the values must fit exactly one
scale that scanners use. What fits none is an error, never a guess.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from service.domain.volume import Volume
from service.stages.pixel_traits import ADC_RANGE, ADC_UNITS
from training.cohort_errors import ValuesError

# Half a turn on the scales that are met: radians, degrees, thousandths of a radian (GE, Philips),
# and 2048ths and 4096ths of pi (Siemens).
HALF_TURNS = (np.pi, 180.0, 1000 * np.pi, 2048.0, 4096.0)
# Wrapped phase covers at least this share of its turn: the air around the head is noise.
LEAST_COVERED = 0.9
# Rounding of stored values, and the last step of a scale.
SCALE_TOLERANCE = 0.005
# What the BIDS specification calls a phase whose unit nobody knows.
_UNKNOWN_UNITS = frozenset({"", "arbitrary", "a.u.", "au", "n/a"})
_RADIANS = frozenset({"rad", "radian", "radians"})
# Of what a unit says, the median may be off by this factor: old brains, much fluid, infarcts.
ADC_TOLERANCE = 2.0
# Superscripts, micro signs and the sign of multiplication, as people write them.
_SPELLINGS = str.maketrans("\u00b2\u00b3\u2076\u207b\u00b5\u03bc\u00d7", "236-uux")
_POWER = r"(?:x?10\^?|1e)"
_ADC_UNIT = re.compile(rf"^(?:{_POWER}(?P<power>-?\d))?(?P<length>mm|um|m)\^?2/(?P<time>ms|s)$")
_MM2_PER = {"mm": 1.0, "um": 1e-6, "m": 1e6}


def to_radians(phase: Volume, sidecar: Mapping[str, Any], path: Path) -> Volume:
    """Return phase as radians -pi..pi.

    Parameters
    ----------
    phase : Volume
        As stored.
    sidecar : mapping
        ``Units``: "rad", or "arbitrary" where only the values can tell.
    path : Path
        Named in errors.

    Raises
    ------
    ValuesError
        If the values are no angles of the unit, or of any scale.
    """
    unit = str(sidecar.get("Units", "")).strip().lower()
    low, high = float(np.nanmin(phase.voxels)), float(np.nanmax(phase.voxels))
    if unit in _RADIANS:
        fitting = [half for half in (np.pi,) if _inside(low, high, half)]
    elif unit in _UNKNOWN_UNITS:
        fitting = [half for half in HALF_TURNS if _fills(low, high, half)]
    else:
        raise ValuesError(f"{path}: the sidecar's Units {unit!r} are no unit of phase")
    if len(fitting) != 1:
        raise ValuesError(
            f"{path}: values {low:g} to {high:g} are no phase on a known scale"
            f"{' of radians' if unit in _RADIANS else ''} (half a turn is pi, 180, 1000 pi, 2048 or"
            " 4096); convert it to radians and write Units rad into its sidecar"
        )
    half = fitting[0]
    middle = half if low >= -SCALE_TOLERANCE * half and high > half else 0.0
    angles = np.clip((phase.voxels - middle) * (np.pi / half), -np.pi, np.pi)
    return Volume(angles.astype(np.float32), phase.geometry)


def _inside(low: float, high: float, half: float) -> bool:
    """Whether values lie between minus and plus half a turn, or between none and a whole one."""
    slack = SCALE_TOLERANCE * half
    return (low >= -half - slack and high <= half + slack) or (
        low >= -slack and high <= 2 * half + slack
    )


def _fills(low: float, high: float, half: float) -> bool:
    return _inside(low, high, half) and high - low >= LEAST_COVERED * 2 * half


def to_square_micrometres(adc: Volume, sidecar: Mapping[str, Any], path: Path) -> Volume:
    """Return an ADC map in 1e-6 mm2/s, as the service has it; parameters as `to_radians`.

    Raises
    ------
    ValuesError
        If the unit cannot be read, the median of the brain is implausible under it, or, where no
        unit is given, under every unit.
    """
    said = str(sidecar.get("Units", "")).strip()
    median = _brain_median(adc)
    if said.lower() in _UNKNOWN_UNITS:
        factor = _plausible_factor(median, path)
    else:
        factor = _factor_of(said, path)
        low, high = (1e3 * edge for edge in ADC_RANGE)
        if not low / ADC_TOLERANCE <= median * factor <= high * ADC_TOLERANCE:
            raise ValuesError(
                f"{path}: median {median:g} in the middle of the head, in {said}, is"
                f" {median * factor:g}e-6 mm2/s, implausible for brain ({low:g} to {high:g});"
                " correct Units in its sidecar"
            )
    return Volume((adc.voxels * factor).astype(np.float32), adc.geometry)


def _plausible_factor(median: float, path: Path) -> float:
    low, high = ADC_RANGE
    for stored in ADC_UNITS.values():
        if low <= median / stored <= high:
            return 1e3 / stored
    raise ValuesError(
        f"{path}: median {median:g} in the middle of the head is that of a brain under none of the"
        f" units {', '.join(ADC_UNITS)} mm2/s; write Units into its sidecar, or leave it out"
    )


def _factor_of(said: str, path: Path) -> float:
    """Return what turns a unit into 1e-6 mm2/s."""
    plain = re.sub(r"[\s*·]", "", said.lower()).translate(_SPELLINGS)
    found = _ADC_UNIT.match(plain)
    if found is None:
        raise ValuesError(
            f"{path}: Units {said!r} of an ADC map cannot be read; write such as '10^-6 mm2/s'"
        )
    exponent = int(found["power"] or 0)
    per_second = 1e3 if found["time"] == "ms" else 1.0
    return float(1e6 * 10.0**exponent * _MM2_PER[found["length"]] * per_second)


def _brain_median(volume: Volume) -> float:
    """Return the median of what is positive in the middle of the grid; 0 if nothing is."""
    middle: npt.NDArray[np.float32] = volume.voxels[
        tuple(slice(n // 4, max(n - n // 4, n // 4 + 1)) for n in volume.voxels.shape)
    ]
    positive = middle[middle > 0]
    return float(np.median(positive)) if positive.size else 0.0
