"""What a look at some studies tells: every volume of every series, without analysing any.

The ``Attributes`` sections are the descriptions of the fields in the API's schema.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from service.domain.report import RESEARCH_USE_NOTICE, ReportedEvidence
from service.domain.sequence import Role


@dataclass(frozen=True, kw_only=True)
class ListedVolume:
    """One volume of a series: what it is, and what it would be used for.

    Attributes
    ----------
    label : str
        What the volume is.
    confidence : float
        Share of the label's evidence, 0..1; below 0.5 it gets no role, and from 0.9 on the label
        does not hang on any single attribute.
    role : Role or None
        Input of the network that the volume would fill; null if it would not be used.
    evidence : tuple
        The votes, strongest first.
    reason : str or None
        Why it would not be used; null if it would.
    reason_code : str or None
        The same as a stable name.
    role_reason : str
        Why it won its role; empty if it has none.
    override_id : str or None
        The site override that acted on it.
    volume_id : str
        Name inside the study: the series' UID and what was split on.
    split : mapping
        What sets this volume apart inside its series, such as its b-value; empty if nothing.
    slices : int
        Number of image planes.
    """

    label: str
    confidence: float
    role: Role | None
    evidence: tuple[ReportedEvidence, ...]
    reason: str | None
    reason_code: str | None
    role_reason: str
    override_id: str | None
    volume_id: str
    split: Mapping[str, str]
    slices: int


@dataclass(frozen=True, kw_only=True)
class ListedSeries:
    """One series and its volumes; one without images has one volume, ``NON_IMAGE``."""

    series_instance_uid: str
    study_instance_uid: str
    series_number: int | None
    series_description: str
    modality: str
    instances: int
    volumes: tuple[ListedVolume, ...]


@dataclass(frozen=True, kw_only=True)
class ListedStudy:
    """What one study as a whole offers.

    Attributes
    ----------
    missing_roles : tuple of Role
        Inputs of the network that nothing in the study fills.
    derived_roles : mapping of Role to tuple of str
        Roles computed from several volumes, and the identifiers of these.
    duplicate_instances : int
        Instances that came more than once; one copy counts.
    """

    study_instance_uid: str
    missing_roles: tuple[Role, ...]
    derived_roles: Mapping[Role, tuple[str, ...]]
    duplicate_instances: int


@dataclass(frozen=True, kw_only=True)
class ClassificationReport:
    """Everything found below one folder.

    Attributes
    ----------
    study_instance_uid : str or None
        The study; null if there are several or none, and then ``series`` says whose each is.
    studies : tuple of ListedStudy
        By their UIDs; roles are given inside each.
    series : tuple of ListedSeries
        All series of all studies.
    pixels_read : bool
        Whether pixels could add to the evidence; without them, headers alone decided.
    ignored_files : int
        Files that are not DICOM.
    damaged_files : tuple of str
        What is wrong with each file that is DICOM and cannot be used; one whose header can be
        read is classified all the same.
    """

    study_instance_uid: str | None
    studies: tuple[ListedStudy, ...]
    series: tuple[ListedSeries, ...]
    pixels_read: bool
    ignored_files: int
    damaged_files: tuple[str, ...]
    research_use_notice: str = RESEARCH_USE_NOTICE
