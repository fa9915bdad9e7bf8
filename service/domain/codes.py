"""Codes of clinical terms and coded measurements, the same in every object that tells a result."""

from typing import NamedTuple

from service.domain.finding import Finding, Side, StudyResult


class ClinicalCode(NamedTuple):
    """A code, the scheme it is of (DICOM's name of it), and what it means."""

    value: str
    scheme_designator: str
    meaning: str


THROMBUS = ClinicalCode("396339007", "SCT", "Thrombus")
BRAIN = ClinicalCode("12738006", "SCT", "Brain")
BRAIN_MR = ClinicalCode("24590-2", "LN", "Brain MRI")
VOLUME = ClinicalCode("118565006", "SCT", "Volume")
LENGTH = ClinicalCode("410668003", "SCT", "Length")
# The width is the largest extent across the length.
WIDTH = ClinicalCode("103340004", "SCT", "Short axis")
PROBABILITY = ClinicalCode("122157", "DCM", "Probability")
SIDE = ClinicalCode("272741003", "SCT", "Laterality")
# The laterality of CID 244; the midline has none.
LATERALITY = {
    Side.LEFT: ClinicalCode("7771000", "SCT", "Left"),
    Side.RIGHT: ClinicalCode("24028007", "SCT", "Right"),
}
# CID 240.
PRESENCE = {
    StudyResult.THROMBUS_FOUND: ClinicalCode("52101004", "SCT", "Present"),
    StudyResult.NO_THROMBUS_FOUND: ClinicalCode("272519000", "SCT", "Absent"),
    StudyResult.INSUFFICIENT_INPUT: ClinicalCode("373068000", "SCT", "Undetermined"),
}
MILLIMETRE = ClinicalCode("mm", "UCUM", "mm")
CUBIC_MILLIMETRE = ClinicalCode("mm3", "UCUM", "cubic millimeter")
NO_UNIT = ClinicalCode("1", "UCUM", "no units")
# Decimal places of millimetres, cubic millimetres and probabilities: more would claim too much.
DECIMALS = 3


class Measured(NamedTuple):
    """One coded measurement with its unit."""

    name: ClinicalCode
    value: float
    unit: ClinicalCode


def measured_probability(probability: float) -> Measured:
    """Return a highest voxel probability, rounded."""
    return Measured(PROBABILITY, round(probability, DECIMALS), NO_UNIT)


def measurements_of(finding: Finding) -> tuple[Measured, ...]:
    """Return what is told of a finding, rounded."""
    return (
        Measured(VOLUME, round(finding.volume_mm3, DECIMALS), CUBIC_MILLIMETRE),
        Measured(LENGTH, round(finding.length_mm, DECIMALS), MILLIMETRE),
        Measured(WIDTH, round(finding.width_mm, DECIMALS), MILLIMETRE),
        measured_probability(finding.probability),
    )
