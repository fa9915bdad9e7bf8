"""What every volume of a study is, how sure, why, and which of them the network gets.

Weighted rules vote for labels on header facts, and where these leave room on pixels
(`sequence_rules`); what a site knows better overrules them; then each role goes to the best
volume of a fitting label (`assign_roles`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from service.domain.errors import GeometryError
from service.domain.override import SiteOverride
from service.domain.sequence import SequenceLabel
from service.domain.study import (
    OWN_OUTPUT,
    ClassifiedVolume,
    DetectedSequences,
    PlaneFacts,
    Rejection,
    SeriesFacts,
    StudyFacts,
    VolumeFacts,
)
from service.stages.assign_roles import assign_roles
from service.stages.plane_grid import regular_grid
from service.stages.plane_traits import image_type, other_anatomy
from service.stages.series_pixels import ReadVoxels, SeriesPixels
from service.stages.split_series import split_series
from service.stages.weigh_evidence import classify_series, settled

# Maps that are made to be looked at.
BITS_OF_A_PICTURE = 8


def detect_sequences(
    study: StudyFacts,
    *,
    min_slices: int = 5,
    overrides: Sequence[SiteOverride] = (),
    read_voxels: ReadVoxels | None = None,
) -> DetectedSequences:
    """Classify every volume of a study and choose the one of each role.

    Parameters
    ----------
    study : StudyFacts
        Header facts of one study.
    min_slices : int
        A volume with fewer slices gets a label but no role.
    overrides : sequence of SiteOverride
        What the site knows better; the first that acts on a volume counts.
    read_voxels : callable, optional
        Reads a volume whose pixels are wanted; without it, headers alone decide.

    Returns
    -------
    DetectedSequences
        All volumes in the order of the series; each has a role or a reason why not.
    """
    found = [
        _overridden(volume, overrides)
        for series in study.series
        for volume in _classified(series, min_slices, read_voxels)
    ]
    return assign_roles(found)


def _classified(
    series: SeriesFacts, min_slices: int, read_voxels: ReadVoxels | None
) -> Iterator[ClassifiedVolume]:
    volumes = split_series(series)
    if not series.planes:
        found = settled(SequenceLabel.NON_IMAGE, "sop-class", "SOPClassUID", series.sop_class_uid)
        yield ClassifiedVolume(volumes[0], found, rejection=_no_image(series))
        return
    excluded = [_excluded(volume, min_slices) for volume in volumes]
    usable = {each.volume_id for each, no in zip(volumes, excluded, strict=True) if no is None}
    pixels = None if read_voxels is None else SeriesPixels(volumes, usable, read_voxels)
    for volume, found, no in zip(volumes, classify_series(volumes, pixels), excluded, strict=True):
        yield ClassifiedVolume(volume, found, rejection=no)


def _overridden(found: ClassifiedVolume, overrides: Sequence[SiteOverride]) -> ClassifiedVolume:
    """Return the volume as the site wants it, with the name of the override that acted."""
    planes = found.volume.planes
    override = next((each for each in overrides if planes and each.acts_on(planes[0])), None)
    if override is None:
        return found
    name = f"override:{override.override_id}"
    acted = replace(found, override_id=override.override_id, wanted_role=override.role)
    if override.label is not None:
        read = ", ".join(each.attribute for each in override.conditions)
        settled_by = settled(override.label, name, read, "as the site wrote it")
        evidence = (*settled_by.evidence, *found.classification.evidence)
        acted = replace(acted, classification=replace(settled_by, evidence=evidence))
    if override.never and acted.rejection is None:
        detail = f"override {override.override_id} of the site says never to use it"
        acted = replace(acted, rejection=Rejection("SITE_OVERRIDE", detail))
    return acted


def _no_image(series: SeriesFacts) -> Rejection:
    if OWN_OUTPUT in series.attributes:
        return Rejection("OWN_OUTPUT", "a result of this service")
    return Rejection("NOT_AN_MR_IMAGE", f"SOP class {series.sop_class_uid}")


def _excluded(volume: VolumeFacts, min_slices: int) -> Rejection | None:
    """Return why a volume cannot be used whatever it is, None if it can."""
    plane = volume.planes[0]
    rejection = _not_grey(plane) or _not_placed(plane)
    if rejection is not None:
        return rejection
    anatomy = other_anatomy(plane)
    if anatomy is not None:
        return Rejection("OTHER_BODY_PART", f"named after {anatomy}, not the head")
    if len(volume.planes) < min_slices:
        return Rejection("TOO_FEW_SLICES", f"{len(volume.planes)} slices, {min_slices} are needed")
    try:
        regular_grid(volume.planes)
    except GeometryError as error:
        return Rejection(error.code, str(error))
    return None


def _not_grey(plane: PlaneFacts) -> Rejection | None:
    attributes = plane.attributes
    if attributes.get("SamplesPerPixel", 1) != 1:
        return Rejection("COLOUR", "a colour image")
    is_small = attributes.get("BitsAllocated") == BITS_OF_A_PICTURE and "DERIVED" in image_type(
        plane
    )
    if is_small or attributes.get("PhotometricInterpretation") == "PALETTE COLOR":
        return Rejection("PICTURE", "a picture of numbers, not the numbers")
    return None


def _not_placed(plane: PlaneFacts) -> Rejection | None:
    if plane.position is None and {"MOSAIC", "VFRAME"} & set(image_type(plane)):
        return Rejection("MOSAIC_NOT_SUPPORTED", "the layout of the mosaic cannot be read")
    if None in (plane.position, plane.orientation, plane.pixel_spacing):
        return Rejection("MISSING_POSITION", "no position, orientation or pixel spacing")
    return None
