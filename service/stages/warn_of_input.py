"""What a reader of the result must know about the sequences that went in."""

from collections.abc import Iterator, Sequence

from service.domain.model_spec import ModelSpec
from service.domain.report import ReportWarning
from service.domain.sequence import Role
from service.domain.study import DetectedSequences
from service.stages.align_volumes import Alignment


def override_warnings(detected: DetectedSequences) -> Iterator[ReportWarning]:
    """Yield one warning for every volume that an override of the site acted on."""
    for found in detected.volumes:
        if found.override_id is not None:
            use = found.role or "no role"
            yield ReportWarning(
                "SITE_OVERRIDE",
                f"override {found.override_id} of the site acted on {found.volume.volume_id}: "
                f"{found.classification.label}, {use}",
            )


def blank_warning(blank: Sequence[Role]) -> ReportWarning:
    """Warn of sequences that show nothing inside the head."""
    return ReportWarning(
        "BLANK_ROLES",
        f"{_names(blank)}: nothing of it lies inside the head; counted as missing",
    )


def alignment_warnings(alignment: Alignment, spec: ModelSpec) -> Iterator[ReportWarning]:
    """Yield what a reader must know of the reference grid and of what was brought to it."""
    if alignment.reference_role is not Role.SUSC:
        yield ReportWarning(
            "NO_SUSCEPTIBILITY_SERIES",
            "without a susceptibility series the clot itself is hardly visible; "
            "the mask lies on the diffusion series",
        )
    if not alignment.volumes[alignment.reference_role].geometry.frame_of_reference_uid:
        yield ReportWarning(
            "NO_FRAME_OF_REFERENCE",
            "the reference series has no FrameOfReferenceUID: a DICOM-SEG cannot refer to it, "
            "and positions of series that lack it too were taken as they are",
        )
    registered = [entry.role for entry in alignment.registrations if entry.method == "rigid"]
    if registered:
        yield ReportWarning(
            "REGISTERED",
            f"{_names(registered)}: another frame of reference, registered rigidly",
        )
    if alignment.dropped:
        yield ReportWarning(
            "DROPPED_ROLES",
            f"{_names(alignment.dropped)}: another frame of reference that could not be registered",
        )
    spacing = alignment.volumes[alignment.reference_role].geometry.spacing[0]
    coarsest = spec.input.slice_spacing_mm[1]
    if spacing > coarsest:
        yield ReportWarning(
            "COARSE_SLICES",
            f"slices are {spacing:.1f} mm apart; the network was trained up to {coarsest:g} mm",
        )


def _names(roles: Sequence[Role]) -> str:
    return ", ".join(role.value for role in roles)
