"""Everything that was drawn for a case, as JSON."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from service.domain.volume import Volume
from training.simulate.case import SIMULATOR_VERSION
from training.simulate.examination import Examination
from training.simulate.tube import Tube

NOTICE = "Simulated: no patient, no real image. Research only, not a medical device."


def parameters(
    exam: Examination, draws: Mapping[str, object], labels: tuple[Volume, Volume]
) -> dict[str, Any]:
    """Return what was drawn of patient, examination and sequences, and the labels' volumes."""
    patient = exam.patient
    lumen, svs = labels
    return {
        "notice": NOTICE,
        "simulator": SIMULATOR_VERSION,
        "seed": patient.seed,
        "site": exam.site.name,
        "anatomy": patient.head.anatomy,
        "with_clot": patient.clot is not None,
        "lumen_mm3": _volume(lumen),
        "svs_mm3": _volume(svs),
        "patient": {
            "warp": to_json(patient.warp),
            "arteries": [to_json(tube) for tube in patient.arteries.values()],
            "veins": [to_json(tube) for tube in patient.veins],
            "clot": to_json(patient.clot),
            "infarct": _infarct(exam),
            "sources": to_json(patient.sources),
            "congested_side": patient.congested_side,
            "stagnant_ppm": patient.stagnant_ppm,
            "hyperintense_vessels": patient.hyperintense_vessels,
            "stop_shown": patient.stop_shown,
        },
        "examination": {
            "field_strength_t": exam.site.field_strength_t,
            "vendor": exam.site.vendor.value,
            "turn": to_json(exam.turn),
            "bottom_mm": exam.bottom_mm,
            "scans": to_json(exam.scans),
            "poses": to_json(exam.poses),
            "lacking": sorted(exam.lacking),
            "missing": sorted(exam.missing),
        },
        "sequences": to_json(draws),
    }


def _volume(label: Volume) -> float:
    return round(float(label.voxels.sum() * label.geometry.voxel_volume), 3)


def _infarct(exam: Examination) -> dict[str, Any]:
    infarct, head = exam.patient.infarct, exam.patient.head
    return {
        "millilitres": round(float(infarct.fraction.sum() * head.geometry.voxel_volume) / 1000, 3),
        "related": infarct.related,
        "core_ratio": infarct.core_ratio,
        "onset_hours": infarct.onset_hours,
    }


def to_json(value: Any) -> Any:  # noqa: ANN401 - any drawn value
    """Turn values, dataclasses and small arrays into what JSON holds; a tube into its summary."""
    if isinstance(value, Tube):
        return _tube(value)
    if is_dataclass(value):
        value = {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_json(entry) for key, entry in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, list | tuple):
        return [to_json(entry) for entry in value]
    return value


def _tube(tube: Tube) -> dict[str, Any]:
    return {
        "name": tube.name,
        "parent": tube.parent,
        "length_mm": round(tube.length_mm, 3),
        "diameter_mm": [round(2 * float(tube.radius_mm[end]), 3) for end in (0, -1)],
        "ends_lps_mm": np.round(tube.centreline[[0, -1]], 2).tolist(),
    }
