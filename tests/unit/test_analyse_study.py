"""The clinical path over real DICOM files, with a predictor whose rule is known."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from pydicom.dataset import Dataset
from scipy import ndimage

from service.adapters.analysis_files import analysis_files
from service.adapters.study_files import StudyFolder
from service.application.analyse_study import (
    FRACTION_BEFORE,
    Analysis,
    AnalysisParameters,
    LoadedModel,
    Stage,
    analyse_study,
)
from service.domain.errors import JobCancelledError
from service.domain.finding import Side, StudyResult
from service.domain.geometry import Geometry
from service.domain.model_spec import InputSpec, ModelSpec
from service.domain.report import ReportTitle
from service.domain.sequence import Role
from service.domain.volume import Volume
from service.stages.check_key_image import check_key_image
from service.stages.run_model import Float32, Prediction
from tests.strategies import mr_series, uid, write_instances

SPEC = ModelSpec(
    name="dark-spot",
    version="1.0.0",
    sha256="0" * 64,
    input=InputSpec(),
    state_channels=2,
    threshold=0.5,
    min_volume_mm3=10.0,
    intended_use="tests",
    training_data="none",
)
SWI: dict[str, Any] = {
    "SeriesInstanceUID": uid("swi"),
    "SeriesNumber": 4,
    "SeriesDescription": "SWI_Images",
    "Manufacturer": "SIEMENS",
    "ImageType": ["ORIGINAL", "PRIMARY", "M", "SWI", "NORM", "DIS2D"],
    "ScanningSequence": "GR",
    "SequenceVariant": "SP",
    "SequenceName": "*swi3d1r",
    "MRAcquisitionType": "3D",
    "RepetitionTime": 28.0,
    "EchoTime": 20.0,
    "FlipAngle": 15.0,
    "MagneticFieldStrength": 3.0,
}
T1: dict[str, Any] = {
    "SeriesInstanceUID": uid("t1"),
    "SeriesNumber": 2,
    "SeriesDescription": "t1_mprage_sag",
    "Manufacturer": "SIEMENS",
    "ImageType": ["ORIGINAL", "PRIMARY", "M", "ND", "NORM"],
    "ScanningSequence": ["GR", "IR"],
    "SequenceName": "*tfl3d1_16ns",
    "MRAcquisitionType": "3D",
    "RepetitionTime": 2300.0,
    "EchoTime": 2.9,
    "InversionTime": 900.0,
    "FlipAngle": 9.0,
}
FLAIR: dict[str, Any] = {
    "SeriesInstanceUID": uid("flair"),
    "SeriesNumber": 6,
    "SeriesDescription": "t2_tirm_tra_dark-fluid",
    "Manufacturer": "SIEMENS",
    "ImageType": ["ORIGINAL", "PRIMARY", "M", "ND"],
    "ScanningSequence": ["SE", "IR"],
    "SequenceName": "*tir2d1_16",
    "MRAcquisitionType": "2D",
    "RepetitionTime": 9000.0,
    "EchoTime": 90.0,
    "InversionTime": 2500.0,
    "FlipAngle": 150.0,
}
IN_PLANE = np.array([[[0, 1, 0], [1, 1, 1], [0, 1, 0]]], bool)
CLOT = np.array([32.0, -8.0, 4.0])


class DarkSpots:
    """Calls thrombus what is far darker than the head and not at its rim."""

    def predict(
        self, sequences: Float32, presence: Float32, forward_state: Float32, backward_state: Float32
    ) -> Prediction:
        outside = ndimage.binary_dilation(sequences[:, 0] == 0, IN_PLANE, iterations=12)
        dark = (sequences[:, 0] < -2) & ~outside
        return Prediction(dark.astype(np.float32), forward_state, backward_state)


class Recorder:
    """Keeps the stages; raises at one of them if told to."""

    def __init__(self, stop_at: str | None = None) -> None:
        self.stages: list[tuple[str, float]] = []
        self._stop_at = stop_at

    def stage(self, stage: str, fraction: float) -> None:
        self.stages.append((stage, fraction))
        if stage == self._stop_at:
            raise JobCancelledError("the caller cancelled the job")


def head(*, clot: bool) -> Volume:
    grid = Geometry.from_components(
        origin=(-88, -100, -60),
        axes=np.eye(3)[::-1],
        spacing=(4.0, 1.25, 1.0),
        shape=(31, 160, 176),
        frame_of_reference_uid=uid("frame of reference"),
    )
    positions = grid.to_lps(np.moveaxis(np.indices(grid.shape), 0, -1))
    inside = ((positions / [72.0, 88.0, 56.0]) ** 2).sum(axis=-1) < 1
    texture = 20 * np.sin(positions[..., 0] / 9) * np.cos(positions[..., 1] / 11)
    voxels: npt.NDArray[np.float64] = np.where(inside, 600 + texture, 0)
    if clot:
        voxels[np.linalg.norm(positions - CLOT, axis=-1) < 6] = 150
    return Volume(voxels.astype(np.int32), grid)


def study_of(folder: Path, *series: list[Dataset]) -> Callable[[], StudyFolder]:
    for instances in series:
        write_instances(instances, folder / str(instances[0].SeriesNumber))
    return lambda: StudyFolder.read(folder, max_slices=2000)


PARAMETERS = AnalysisParameters(chunk_slices=8, software_version="9.9", installation_id="here")


def analyse(
    open_study: Callable[[], StudyFolder],
    progress: Recorder | None = None,
    parameters: AnalysisParameters = PARAMETERS,
) -> Analysis:
    return analyse_study(
        open_study,
        LoadedModel(SPEC, DarkSpots(), "TestExecutionProvider"),
        parameters,
        progress or Recorder(),
        time.monotonic,
    )


def test_thrombus_is_found_where_it_is(tmp_path: Path) -> None:
    volume = head(clot=True)
    analysis = analyse(study_of(tmp_path, mr_series(volume, **SWI), mr_series(volume, **T1)))
    report = analysis.report

    assert report.result is StudyResult.THROMBUS_FOUND
    assert report.reference_role is Role.SUSC
    assert report.reference_series_uid == SWI["SeriesInstanceUID"]
    assert report.missing_roles == (Role.PHASE, Role.DWI, Role.ADC, Role.FLAIR, Role.TOF)
    (found,) = report.findings
    assert found.centroid_lps == pytest.approx(tuple(CLOT), abs=1.0)
    assert found.side is Side.LEFT
    assert found.volume_mm3 == pytest.approx(4 / 3 * np.pi * 6**3, rel=0.25)
    assert analysis.mask is not None
    assert analysis.mask.geometry.same_grid(volume.geometry)
    assert analysis.segmentation is not None
    assert report.segmentation_sop_instance_uid == analysis.segmentation.SOPInstanceUID
    assert report.model.execution_provider == "TestExecutionProvider"
    assert report.model.expected_for_study.roles == (Role.SUSC,)
    assert set(analysis_files(analysis)) == {
        "report.json",
        "structured_report.dcm",
        "segmentation.dcm",
        "mask.nii.gz",
        "preview.png",
    }


def test_negative_study_has_a_report_and_no_segmentation(tmp_path: Path) -> None:
    analysis = analyse(study_of(tmp_path, mr_series(head(clot=False), **SWI)))
    assert analysis.report.result is StudyResult.NO_THROMBUS_FOUND
    assert analysis.segmentation is None
    names = {"report.json", "structured_report.dcm", "mask.nii.gz", "preview.png"}
    assert set(analysis_files(analysis)) == names


def test_thrombus_without_frame_of_reference_is_told_but_has_no_segmentation(
    tmp_path: Path,
) -> None:
    series = mr_series(head(clot=True), **SWI)
    for instance in series:
        del instance.FrameOfReferenceUID
    analysis = analyse(study_of(tmp_path, series))
    assert analysis.report.result is StudyResult.THROMBUS_FOUND
    assert analysis.segmentation is None
    assert "NO_FRAME_OF_REFERENCE" in {warning.code for warning in analysis.report.warnings}


def test_study_without_a_usable_series_says_which_and_why(tmp_path: Path) -> None:
    analysis = analyse(study_of(tmp_path, mr_series(head(clot=True), **T1)))
    assert analysis.report.result is StudyResult.INSUFFICIENT_INPUT
    assert "SUSC" in (analysis.report.insufficiency or "")
    assert set(analysis_files(analysis)) == {"report.json", "structured_report.dcm"}


@pytest.mark.parametrize(
    ("broken", "code"),
    [
        ({"drop": slice(1, None)}, "TOO_FEW_SLICES"),
        ({"drop": slice(0, 12), "skip": 5}, "BAD_GEOMETRY"),
        ({"ImagePositionPatient": None}, "MISSING_POSITION"),
    ],
)
def test_unusable_geometry_is_a_named_reason(
    tmp_path: Path, broken: dict[str, Any], code: str
) -> None:
    series = mr_series(head(clot=True), **SWI)
    if "ImagePositionPatient" in broken:
        for instance in series:
            del instance.ImagePositionPatient
    elif "skip" in broken:
        del series[broken["skip"]]
    else:
        del series[broken["drop"]]
    report = analyse(study_of(tmp_path, series)).report
    assert report.result is StudyResult.INSUFFICIENT_INPUT
    assert code in {volume.rejection_code for volume in report.volumes}


def test_empty_reference_is_insufficient_input(tmp_path: Path) -> None:
    nothing = head(clot=False)
    empty = Volume(np.zeros_like(nothing.voxels), nothing.geometry)
    report = analyse(study_of(tmp_path, mr_series(empty, **SWI))).report
    assert report.result is StudyResult.INSUFFICIENT_INPUT
    assert "no head found" in (report.insufficiency or "")
    assert report.model.expected_for_study.roles == ()


def test_another_installation_gives_other_identifiers(tmp_path: Path) -> None:
    opened = study_of(tmp_path, mr_series(head(clot=False), **SWI))
    here, there = (
        analyse_study(
            opened,
            LoadedModel(SPEC, DarkSpots(), "TestExecutionProvider"),
            AnalysisParameters(chunk_slices=8, software_version="9.9", installation_id=name),
            Recorder(),
            time.monotonic,
        ).report
        for name in ("here", "there")
    )
    assert here.analysis_digest != there.analysis_digest


def test_same_study_twice_gives_the_same_objects(tmp_path: Path) -> None:
    volume = head(clot=True)
    first = analysis_files(analyse(study_of(tmp_path / "a", mr_series(volume, **SWI))))
    renamed = list(reversed(mr_series(volume, **SWI)))
    second = analysis_files(analyse(study_of(tmp_path / "b", renamed)))
    for name in ("segmentation.dcm", "structured_report.dcm", "mask.nii.gz", "preview.png"):
        assert first[name] == second[name], name


@pytest.mark.parametrize("clot", [True, False])
def test_the_preview_becomes_a_dicom_object_on_request(clot: bool, tmp_path: Path) -> None:
    opened = study_of(tmp_path, mr_series(head(clot=clot), **SWI))
    wanted = replace(PARAMETERS, key_image=True)
    analysis = analyse(opened, parameters=wanted)
    assert analysis.key_image is not None
    assert analysis.preview_png is not None
    check_key_image(analysis.key_image, analysis.preview_png)
    assert analyse(opened).key_image is None
    assert analyse(opened).report.analysis_digest == analysis.report.analysis_digest


def test_another_title_gives_another_structured_report(tmp_path: Path) -> None:
    opened = study_of(tmp_path, mr_series(head(clot=False), **SWI))
    title = ReportTitle.IMAGING_MEASUREMENT_REPORT
    other = analyse(opened, parameters=replace(PARAMETERS, report_title=title))
    assert other.structured_report.ConceptNameCodeSequence[0].CodeValue == "126000"
    usual = analyse(opened)
    assert usual.structured_report.SOPInstanceUID != other.structured_report.SOPInstanceUID
    assert usual.report.structured_report_sop_instance_uid == usual.structured_report.SOPInstanceUID


def test_another_threshold_gives_other_identifiers(tmp_path: Path) -> None:
    opened = study_of(tmp_path, mr_series(head(clot=True), **SWI))
    first = analyse(opened).report
    other = analyse_study(
        opened,
        LoadedModel(ModelSpec.from_json(SPEC.to_json() | {"threshold": 0.4}), DarkSpots(), "x"),
        AnalysisParameters(chunk_slices=8, software_version="9.9", installation_id="here"),
        Recorder(),
        time.monotonic,
    ).report
    assert first.segmentation_sop_instance_uid != other.segmentation_sop_instance_uid


def test_stages_are_told_in_order_and_timed(tmp_path: Path) -> None:
    progress = Recorder()
    analysis = analyse(study_of(tmp_path, mr_series(head(clot=False), **SWI)), progress)
    assert progress.stages == [(stage, FRACTION_BEFORE[stage]) for stage in Stage]
    assert list(analysis.report.timings_s) == [stage.value for stage in Stage]


def test_cancelled_analysis_ends_at_the_next_stage(tmp_path: Path) -> None:
    progress = Recorder(stop_at=Stage.INFER)
    with pytest.raises(JobCancelledError):
        analyse(study_of(tmp_path, mr_series(head(clot=False), **SWI)), progress)
    assert progress.stages[-1][0] == Stage.INFER


def test_a_sequence_beside_the_head_is_said_to_be_missing(tmp_path: Path) -> None:
    volume = head(clot=True)
    affine = volume.geometry.affine.copy()
    affine[:3, 3] += [0.0, 400.0, 0.0]
    beside = Volume(volume.voxels, replace(volume.geometry, affine=affine))
    analysis = analyse(study_of(tmp_path, mr_series(volume, **SWI), mr_series(beside, **FLAIR)))
    (warning,) = [found for found in analysis.report.warnings if found.code == "BLANK_ROLES"]
    assert warning.detail.startswith("FLAIR")
    assert analysis.report.model.expected_for_study.roles == (Role.SUSC,)
