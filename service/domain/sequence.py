"""The vocabulary of MR sequences, the roles they play for the network, and why."""

from dataclasses import dataclass
from enum import StrEnum


class SequenceLabel(StrEnum):
    """What one volume of a series is."""

    SWI = "SWI"
    SWI_MINIP = "SWI_MINIP"
    T2STAR = "T2STAR"
    PHASE = "PHASE"
    DWI = "DWI"
    DWI_B0 = "DWI_B0"
    DWI_DIRECTIONAL = "DWI_DIRECTIONAL"
    ADC = "ADC"
    EADC = "EADC"
    FLAIR = "FLAIR"
    TOF = "TOF"
    TOF_MIP = "TOF_MIP"
    T1 = "T1"
    T2 = "T2"
    PD = "PD"
    BOLD = "BOLD"
    ASL = "ASL"
    DSC = "DSC"
    FIELDMAP = "FIELDMAP"
    DIFFUSION_DERIVED = "DIFFUSION_DERIVED"
    LOCALIZER = "LOCALIZER"
    OTHER_MR = "OTHER_MR"
    NON_IMAGE = "NON_IMAGE"


class Role(StrEnum):
    """A network input channel. The order of declaration is the order of the channels."""

    SUSC = "SUSC"
    PHASE = "PHASE"
    DWI = "DWI"
    ADC = "ADC"
    FLAIR = "FLAIR"
    TOF = "TOF"


# A sequence that is computed from another of the same scan hardly comes without it.
COMES_WITH = {Role.PHASE: Role.SUSC, Role.ADC: Role.DWI}

# In order of preference where several labels can fill one role.
LABELS_OF_ROLE: dict[Role, tuple[SequenceLabel, ...]] = {
    Role.SUSC: (SequenceLabel.SWI, SequenceLabel.T2STAR),
    Role.PHASE: (SequenceLabel.PHASE,),
    Role.DWI: (SequenceLabel.DWI, SequenceLabel.DWI_DIRECTIONAL),
    Role.ADC: (SequenceLabel.ADC,),
    Role.FLAIR: (SequenceLabel.FLAIR,),
    Role.TOF: (SequenceLabel.TOF,),
}


@dataclass(frozen=True)
class Evidence:
    """One rule that spoke for or against a label.

    Attributes
    ----------
    rule_id : str
        Identifier in the rule table.
    attribute : str
        DICOM keyword or private tag that was read.
    value : str
        What stood there.
    label : SequenceLabel
        The label that the rule votes about.
    weight : float
        Log-odds added to that label; negative is a vote against it.
    """

    rule_id: str
    attribute: str
    value: str
    label: SequenceLabel
    weight: float


@dataclass(frozen=True)
class Classification:
    """The label of one volume, how sure, and the votes.

    Attributes
    ----------
    confidence : float
        Softmax share of the label's log-odds among all labels, 0..1.
    """

    label: SequenceLabel
    confidence: float
    evidence: tuple[Evidence, ...]
