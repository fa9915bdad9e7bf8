"""Identifiers and header facts of studies, series and image planes.

A *plane* is one two-dimensional image: a classic instance, or one frame of a multi-frame one.
Facts are plain values; DICOM data sets travel beside them, never inside.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from service.domain.sequence import Classification, Role

# What a DICOM element becomes: multi-valued elements are tuples.
FactValue = str | int | float | tuple[str, ...] | tuple[float, ...]
Vector = tuple[float, float, float]

# The fact that marks a result of this service among the series of a study.
OWN_OUTPUT = "OwnOutput"


@dataclass(frozen=True)
class PlaneFacts:
    """Header facts of one image plane, the same for classic and enhanced objects.

    Attributes
    ----------
    sop_instance_uid : str
    frame_number : int or None
        1-based frame of a multi-frame instance; None for a classic one.
    rows, columns : int
        Size of this plane; smaller than the instance's where the plane is a tile of a mosaic.
    position : (x, y, z) or None
        ImagePositionPatient, LPS mm.
    orientation : six floats or None
        ImageOrientationPatient: direction of increasing column index, then of row index.
    pixel_spacing : (row, column) or None
        PixelSpacing in mm: distance between rows, then between columns.
    attributes : mapping
        DICOM keyword (or ``gggg,eeee`` of a private element) to value, as it holds for this
        plane: functional groups and private elements are already looked up.
    tile : int or None
        0-based tile, row by row, of a mosaic (one image that holds a whole volume); None for
        every other object. Position and spacing are those of the tile.
    """

    sop_instance_uid: str
    frame_number: int | None
    rows: int
    columns: int
    position: Vector | None
    orientation: tuple[float, ...] | None
    pixel_spacing: tuple[float, float] | None
    attributes: Mapping[str, FactValue] = field(repr=False)
    tile: int | None = None


@dataclass(frozen=True)
class SeriesFacts:
    """One DICOM series: its planes, and what its instances share."""

    series_instance_uid: str
    series_number: int | None
    description: str
    modality: str
    sop_class_uid: str
    frame_of_reference_uid: str
    planes: tuple[PlaneFacts, ...] = field(repr=False)
    attributes: Mapping[str, FactValue] = field(repr=False)
    instance_count: int = 0


@dataclass(frozen=True)
class StudyFacts:
    """One study of one patient.

    Attributes
    ----------
    input_digest : str
        SHA-256 over the sorted SOP Instance UIDs and digests of the files' contents.
    ignored_files : int
        Files of the upload that hold no DICOM instance; a DICOMDIR holds none.
    duplicate_instances : int
        Instances that came more than once; one copy counts, whatever its name.
    """

    study_instance_uid: str
    series: tuple[SeriesFacts, ...]
    input_digest: str
    ignored_files: int = 0
    duplicate_instances: int = 0


@dataclass(frozen=True)
class VolumeFacts:
    """Planes of one series that form one volume: one b-value, echo, component, orientation.

    Attributes
    ----------
    volume_id : str
        Stable name inside the study: the series UID and what was split on,
        such as ``1.2.3#b_value=1000`` or ``1.2.3#component=phase``.
    split : mapping
        What sets this volume apart inside its series, for people: ``{"b_value": "1000"}``.
    """

    volume_id: str
    series: SeriesFacts
    planes: tuple[PlaneFacts, ...] = field(repr=False)
    split: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Rejection:
    """Why a volume is not used.

    Attributes
    ----------
    code : str
        Stable upper-case name such as ``TOO_FEW_SLICES`` or ``ROLE_TAKEN``.
    """

    code: str
    detail: str


@dataclass(frozen=True)
class ClassifiedVolume:
    """One volume, what it is, and what it is used for or why not.

    Attributes
    ----------
    role : Role or None
        None if the volume is not used; then ``rejection`` says why.
    role_reason : str
        Why this volume won its role.
    override_id : str or None
        The site override that acted on this volume.
    wanted_role : Role or None
        The role that the override gives it, whatever its label.
    """

    volume: VolumeFacts
    classification: Classification
    role: Role | None = None
    role_reason: str = ""
    rejection: Rejection | None = None
    override_id: str | None = None
    wanted_role: Role | None = None


@dataclass(frozen=True)
class DetectedSequences:
    """The outcome of sequence detection: every volume, and the one of each role.

    Attributes
    ----------
    derived_roles : mapping
        Roles whose volume must be computed from several: DWI as the geometric mean of
        directional volumes. All of these have the role. Absent roles need no computation.
    """

    volumes: tuple[ClassifiedVolume, ...]
    derived_roles: Mapping[Role, tuple[ClassifiedVolume, ...]] = field(default_factory=dict)

    @property
    def of_role(self) -> dict[Role, ClassifiedVolume]:
        """The chosen volume of each role that is filled by one volume."""
        return {
            found.role: found
            for found in self.volumes
            if found.role is not None and found.role not in self.derived_roles
        }

    @property
    def missing_roles(self) -> tuple[Role, ...]:
        """Roles that nothing fills, in the order of the channels."""
        filled = {found.role for found in self.volumes}
        return tuple(role for role in Role if role not in filled)

    def without(
        self, rejected: Sequence[ClassifiedVolume], rejection: Rejection
    ) -> "DetectedSequences":
        """Return the same with some volumes stripped of their role, for this reason."""
        names = {found.volume.volume_id for found in rejected}
        roles = {found.role for found in rejected}
        return DetectedSequences(
            volumes=tuple(
                replace(found, role=None, role_reason="", rejection=rejection)
                if found.volume.volume_id in names
                else found
                for found in self.volumes
            ),
            derived_roles={
                role: found for role, found in self.derived_roles.items() if role not in roles
            },
        )
