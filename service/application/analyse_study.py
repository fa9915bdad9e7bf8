"""The clinical path in reading order: a study in, findings and the objects that tell them out."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Protocol

from pydicom.dataset import Dataset

from service.application.assemble_roles import AssembledRoles, assemble_roles
from service.application.classify_studies import voxel_reader
from service.application.ports import Study
from service.application.written_objects import WrittenObjects, looked_at
from service.domain.errors import InputError
from service.domain.finding import Finding, StudyResult
from service.domain.identity import ResultIdentity
from service.domain.model_spec import ModelSpec
from service.domain.override import SiteOverride
from service.domain.report import DetectionReport, ReportTitle, ReportWarning
from service.domain.segmentation_form import SegmentationForm
from service.domain.sequence import Role
from service.domain.study import PlaneFacts, StudyFacts
from service.domain.volume import Volume
from service.stages.align_volumes import REFERENCE_ORDER, Alignment, align_volumes
from service.stages.check_segmentation import check_segmentation, segmentation_warnings
from service.stages.detect_sequences import detect_sequences
from service.stages.draw_preview import draw_preview
from service.stages.extract_findings import Extraction, extract_findings
from service.stages.preprocess import preprocess
from service.stages.run_model import Predictor, run_model
from service.stages.warn_of_input import alignment_warnings, blank_warning, override_warnings
from service.stages.write_report import ReportInput, write_report
from service.stages.write_segmentation import write_segmentation
from service.stages.write_structured_report import Evidence


class Stage(StrEnum):
    """Parts of an analysis, in their order; names of the timings in the report."""

    READ = "read"
    DETECT = "detect"
    ASSEMBLE = "assemble"
    ALIGN = "align"
    PREPROCESS = "preprocess"
    INFER = "infer"
    FIND = "find"
    WRITE = "write"


# Share of the work that lies before each stage, measured on the demo study.
FRACTION_BEFORE = {
    Stage.READ: 0.0,
    Stage.DETECT: 0.05,
    Stage.ASSEMBLE: 0.1,
    Stage.ALIGN: 0.2,
    Stage.PREPROCESS: 0.3,
    Stage.INFER: 0.4,
    Stage.FIND: 0.85,
    Stage.WRITE: 0.9,
}


class Progress(Protocol):
    """Told at the start of every stage; ends the analysis by raising."""

    def stage(self, stage: str, fraction: float) -> None:
        """Say which stage starts, and the share of the work that lies before it, 0..1."""
        ...


@dataclass(frozen=True)
class LoadedModel:
    """A specification and what runs it."""

    spec: ModelSpec
    predictor: Predictor
    execution_provider: str


@dataclass(frozen=True)
class AnalysisParameters:
    """What an analysis may be told beside the study and the model.

    Attributes
    ----------
    chunk_slices : int or None
        Slices that the network sees at a time; does not change the answer.
    software_version, installation_id : str
        Stand in every object that is written.
    overrides : tuple of SiteOverride
        What the site knows better about its series.
    report_title : ReportTitle
        Title of the structured report.
    key_image : bool
        Whether the preview becomes a DICOM object too.
    segmentation_form : SegmentationForm
        How the mask is written.
    predecessor : Evidence or None
        The structured report that this one takes the place of.
    """

    chunk_slices: int | None
    software_version: str
    installation_id: str
    overrides: tuple[SiteOverride, ...] = ()
    report_title: ReportTitle = ReportTitle.DIAGNOSTIC_IMAGING_REPORT
    key_image: bool = False
    segmentation_form: SegmentationForm = SegmentationForm.BINARY
    predecessor: Evidence | None = None


@dataclass(frozen=True, eq=False)
class Analysis:
    """What one analysis gives.

    Attributes
    ----------
    structured_report : Dataset
        TID 1500, of any result.
    mask : Volume or None
        0 or the number of the finding, on the reference grid; None for insufficient input.
    segmentation : Dataset or None
        None unless a thrombus was found.
    preview_png : bytes or None
        None for insufficient input.
    key_image : Dataset or None
        The preview as secondary capture; None where none was asked for or there is no preview.
    """

    report: DetectionReport
    structured_report: Dataset
    mask: Volume | None = None
    segmentation: Dataset | None = None
    preview_png: bytes | None = None
    key_image: Dataset | None = None


class _StageTimer:
    """Tells progress and keeps the time of each stage in seconds."""

    def __init__(self, progress: Progress, clock: Callable[[], float]) -> None:
        self._progress = progress
        self._clock = clock
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: Stage) -> Iterator[None]:
        self._progress.stage(stage, FRACTION_BEFORE[stage])
        start = self._clock()
        yield
        self.seconds[stage.value] = round(self._clock() - start, 4)


def analyse_study(
    open_study: Callable[[], Study],
    model: LoadedModel,
    parameters: AnalysisParameters,
    progress: Progress,
    clock: Callable[[], float],
) -> Analysis:
    """Analyse one study from its headers to the objects that leave the house.

    Parameters
    ----------
    open_study : callable
        Reads the study; its errors are those of the input.
    clock : callable
        Seconds on a clock that never runs backwards, for the timings.

    Raises
    ------
    ThrombolensError
        If the input cannot be analysed at all, or what was written is not what was meant. A study
        that merely lacks a usable series is no error but the result ``insufficient_input``.
    """
    timed = _StageTimer(progress, clock)
    with timed(Stage.READ):
        study = open_study()
    identity = _identity(study.facts, model, parameters)
    with timed(Stage.DETECT):
        detected = detect_sequences(
            study.facts,
            overrides=parameters.overrides,
            read_voxels=voxel_reader(study.datasets),
        )
    with timed(Stage.ASSEMBLE):
        roles = assemble_roles(AssembledRoles(detected), study.datasets, model.spec.input.roles)
    told = _Told(study, roles, model, identity, timed.seconds)
    if not any(role in roles.volumes for role in REFERENCE_ORDER):
        return _insufficient(told.report(), study, identity, parameters)
    with timed(Stage.ALIGN):
        alignment = align_volumes({role: part.volume for role, part in roles.volumes.items()})
    with timed(Stage.PREPROCESS):
        try:
            seen = preprocess(alignment.volumes, alignment.reference_role, model.spec.input)
        except InputError as exc:
            report = told.report(insufficiency=f"{exc}.")
            return _insufficient(report, study, identity, parameters)
    with timed(Stage.INFER):
        chunk = parameters.chunk_slices
        probability = run_model(seen, model.predictor, model.spec, chunk_slices=chunk)
    with timed(Stage.FIND):
        midline_x = seen.head_centre_lps[0]
        restored = seen.restore(probability.voxels)
        extraction = extract_findings(restored, model.spec, midline_x=midline_x)
    with timed(Stage.WRITE):
        sources = study.datasets(roles.series_uid_of(alignment.reference_role))
        planes = roles.volumes[alignment.reference_role].source_planes
        form = parameters.segmentation_form
        segmentation = _segmentation(extraction, sources, planes, model.spec, identity, form)
        preview = _preview(alignment, extraction)
        report = told.report(alignment, extraction.findings, segmentation, blank=seen.blank)
        written = WrittenObjects(report, study.facts, sources, identity)
        structured = written.structured_report(
            segmentation, parameters.report_title, parameters.predecessor
        )
        key_image = written.key_image(preview) if parameters.key_image else None
    return Analysis(
        # Once more, with the time that writing took.
        report=replace(report, timings_s=dict(timed.seconds)),
        structured_report=structured,
        mask=extraction.mask,
        segmentation=segmentation,
        preview_png=preview,
        key_image=key_image,
    )


def _identity(
    facts: StudyFacts, model: LoadedModel, parameters: AnalysisParameters
) -> ResultIdentity:
    """Derive what all UIDs derive from: everything that the written objects depend on."""
    parts = (
        facts.input_digest,
        repr(model.spec),
        model.execution_provider,
        parameters.software_version,
        parameters.installation_id,
        repr(parameters.overrides),
        parameters.report_title,
        parameters.segmentation_form,
        repr(parameters.predecessor),
    )
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    return ResultIdentity(
        analysis_digest=digest,
        software_version=parameters.software_version,
        installation_id=parameters.installation_id,
    )


def _segmentation(
    extraction: Extraction,
    sources: Sequence[Dataset],
    planes: Sequence[PlaneFacts],
    spec: ModelSpec,
    identity: ResultIdentity,
    form: SegmentationForm,
) -> Dataset | None:
    """Write and check the DICOM-SEG; a negative study, or one without a frame, has none."""
    if not extraction.findings or not extraction.mask.geometry.frame_of_reference_uid:
        return None
    written = write_segmentation(
        extraction.mask, extraction.findings, sources, planes, spec, identity, form=form
    )
    check_segmentation(written, extraction.mask, form)
    return written


def _insufficient(
    report: DetectionReport,
    study: Study,
    identity: ResultIdentity,
    parameters: AnalysisParameters,
) -> Analysis:
    """Return the result of a study that could not be analysed: both reports say why."""
    first = looked_at(report, study.facts)[0]
    sources = study.datasets(first.series_instance_uid)
    written = WrittenObjects(report, study.facts, sources, identity)
    structured = written.structured_report(None, parameters.report_title, parameters.predecessor)
    return Analysis(report, structured)


def _preview(alignment: Alignment, extraction: Extraction) -> bytes:
    found = bool(extraction.findings)
    return draw_preview(
        alignment.volumes,
        extraction.mask,
        extraction.findings,
        result=StudyResult.THROMBUS_FOUND if found else StudyResult.NO_THROMBUS_FOUND,
        reference_role=alignment.reference_role,
    )


@dataclass(frozen=True)
class _Told:
    """What is known about an analysis by the time its report is written."""

    study: Study
    roles: AssembledRoles
    model: LoadedModel
    identity: ResultIdentity
    seconds: Mapping[str, float]

    def report(
        self,
        alignment: Alignment | None = None,
        findings: tuple[Finding, ...] = (),
        segmentation: Dataset | None = None,
        insufficiency: str | None = None,
        blank: Sequence[Role] = (),
    ) -> DetectionReport:
        """Write the report; without an alignment it says that the input is insufficient."""
        return write_report(
            ReportInput(
                study=self.study.facts,
                detected=self.roles.detected,
                model=self.model.spec,
                execution_provider=self.model.execution_provider,
                identity=self.identity,
                reference_role=None if alignment is None else alignment.reference_role,
                used_roles=() if alignment is None else self._used(alignment, blank),
                registrations=() if alignment is None else alignment.registrations,
                findings=findings,
                warnings=tuple(self._warnings(alignment, segmentation, blank)),
                timings_s=self.seconds,
                insufficiency=insufficiency,
                segmentation_sop_instance_uid=(
                    None if segmentation is None else str(segmentation.SOPInstanceUID)
                ),
            )
        )

    def _used(self, alignment: Alignment, blank: Sequence[Role]) -> tuple[Role, ...]:
        """Return the inputs of the network that the study filled, in the network's order."""
        there = alignment.volumes.keys() - set(blank)
        return tuple(role for role in self.model.spec.input.roles if role in there)

    def _warnings(
        self, alignment: Alignment | None, segmentation: Dataset | None, blank: Sequence[Role]
    ) -> Iterator[ReportWarning]:
        if self.study.conflicting_duplicates:
            count = self.study.conflicting_duplicates
            yield ReportWarning(
                "CONFLICTING_DUPLICATES", f"{count} instances came twice with different contents"
            )
        yield from override_warnings(self.roles.detected)
        yield from self.roles.warnings
        if alignment is not None:
            yield from alignment_warnings(alignment, self.model.spec)
        if blank:
            yield blank_warning(blank)
        if segmentation is not None:
            yield from segmentation_warnings(segmentation)
