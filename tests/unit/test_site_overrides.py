"""Site overrides: when they act, and what follows."""

import time
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from service.adapters.study_files import StudyFolder
from service.application.analyse_study import AnalysisParameters, LoadedModel, analyse_study
from service.domain.finding import StudyResult
from service.domain.override import SiteOverride
from service.domain.report import DetectionReport
from service.domain.sequence import Role, SequenceLabel
from service.domain.study import ClassifiedVolume, DetectedSequences
from service.stages.detect_sequences import detect_sequences
from tests.strategies import mr_series, write_instances
from tests.unit import test_analyse_study as heads
from tests.unit.test_detect_sequences import (
    GE,
    GE_SWAN,
    SWI,
    SWI_MAGNITUDE,
    SWI_PHASE,
    images,
    scan,
)
from tests.unit.test_override_files import one, read
from tests.unit.test_vendor_elements import private


def detected(
    folder: Path, overrides: tuple[SiteOverride, ...], *series: list[Dataset]
) -> DetectedSequences:
    for members in series:
        write_instances(members, folder)
    facts = StudyFolder.read(folder, max_slices=1000).facts
    return detect_sequences(facts, overrides=overrides)


def named(found: DetectedSequences, description: str) -> ClassifiedVolume:
    (volume,) = [v for v in found.volumes if v.volume.series.description == description]
    return volume


LATE_SWI = {**SWI, "SeriesDescription": "SWI_Late", "AcquisitionTime": "235900"}
T1 = scan(GE, "Sag T1", "SE", (10.0, 500.0))


def test_a_label_of_the_site_is_certain_and_says_whose_it_is(tmp_path: Path) -> None:
    override = one(tmp_path, "{SeriesDescription: Sag T1, EchoTime: 10}", "label: SWI")
    plain = detected(tmp_path / "study", (), images(T1))
    found = detected(tmp_path / "study", (override,), images(T1))
    (before,), (volume,) = plain.volumes, found.volumes
    assert before.classification.label is SequenceLabel.T1
    assert (before.override_id, before.role) == (None, None)
    assert volume.classification.label is SequenceLabel.SWI
    assert volume.classification.confidence == 1.0
    first, *others = volume.classification.evidence
    assert (first.rule_id, first.label) == ("override:one", SequenceLabel.SWI)
    assert first.attribute == "SeriesDescription, EchoTime"
    assert tuple(others) == before.classification.evidence
    assert (volume.override_id, volume.role, volume.role_reason) == (
        "one",
        Role.SUSC,
        "the only one",
    )


def test_a_role_of_the_site_wins_over_a_better_volume(tmp_path: Path) -> None:
    override = one(tmp_path, "{SeriesDescription: sag t1}", "role: SUSC")
    found = detected(tmp_path / "study", (override,), images(SWI), images(T1))
    chosen, beaten = named(found, "Sag T1"), named(found, "SWI_Images")
    assert (chosen.role, chosen.rejection) == (Role.SUSC, None)
    assert chosen.classification.label is SequenceLabel.T1
    assert chosen.role_reason == "override one of the site; the only one"
    assert (beaten.role, beaten.override_id) == (None, None)
    assert beaten.rejection is not None
    assert beaten.rejection.code == "ROLE_TAKEN"
    assert "SUSC is" in beaten.rejection.detail
    assert "override one" in beaten.rejection.detail


def test_two_volumes_that_the_site_wants_vie_with_each_other_alone(tmp_path: Path) -> None:
    override = one(tmp_path, "{SeriesDescription: {regex: 'SWAN|T1'}}", "role: SUSC")
    found = detected(
        tmp_path / "study", (override,), images(T1), images(SWI, slices=20), images(GE_SWAN)
    )
    assert found.of_role[Role.SUSC].volume.series.description == "Ax SWAN"
    assert found.of_role[Role.SUSC].role_reason == "override one of the site; best of 2 by kind"
    for other in ("Sag T1", "SWI_Images"):
        rejection = named(found, other).rejection
        assert rejection is not None
        assert rejection.code == "ROLE_TAKEN"


def test_a_phase_of_the_site_needs_no_magnitude_and_takes_the_place_of_the_right_one(
    tmp_path: Path,
) -> None:
    override = one(tmp_path, "{SeriesDescription: Sag T1}", "role: PHASE")
    found = detected(tmp_path / "study", (override,), *map(images, (SWI, SWI_PHASE, T1)))
    assert named(found, "Sag T1").role is Role.PHASE
    rejection = named(found, "Pha_Images").rejection
    assert rejection is not None
    assert rejection.code == "ROLE_TAKEN"


def test_never_leaves_the_role_to_the_next_one(tmp_path: Path) -> None:
    series = (images(SWI), images(LATE_SWI))
    plain = detected(tmp_path / "study", (), *series)
    assert plain.of_role[Role.SUSC].volume.series.description == "SWI_Late"
    override = one(tmp_path, "{SeriesDescription: swi_late}", "role: NEVER")
    found = detected(tmp_path / "study", (override,), *series)
    assert found.of_role[Role.SUSC].volume.series.description == "SWI_Images"
    refused = named(found, "SWI_Late")
    assert refused.rejection is not None
    assert refused.rejection.code == "SITE_OVERRIDE"
    assert "override one" in refused.rejection.detail
    assert refused.classification.label is SequenceLabel.SWI
    assert refused.classification.evidence[0].rule_id != "override:one"


def test_a_label_that_is_no_input_takes_the_role_away(tmp_path: Path) -> None:
    override = one(tmp_path, "{ImageType: SWI}", "label: SWI_MINIP")
    (volume,) = detected(tmp_path / "study", (override,), images(SWI)).volumes
    assert volume.rejection is not None
    assert volume.rejection.code == "NOT_AN_INPUT"


def test_the_first_override_that_acts_counts(tmp_path: Path) -> None:
    overrides = read(
        tmp_path,
        """
        version: 1
        overrides:
        - {id: other, match: {SeriesDescription: Ax SWAN}, label: TOF}
        - {id: first, match: {ImageType: SWI}, label: T2STAR}
        - {id: second, match: {ImageType: SWI}, label: PHASE, role: NEVER}
        """,
    )
    (volume,) = detected(tmp_path / "study", overrides, images(SWI)).volumes
    assert volume.override_id == "first"
    assert volume.classification.label is SequenceLabel.T2STAR
    assert volume.role is Role.SUSC


@pytest.mark.parametrize("effect", ["role: SUSC", "role: NEVER", "label: SWI"])
def test_no_override_makes_a_volume_of_too_few_slices(tmp_path: Path, effect: str) -> None:
    override = one(tmp_path, "{ImageType: SWI}", effect)
    (volume,) = detected(tmp_path / "study", (override,), images(SWI, slices=4)).volumes
    assert volume.override_id == "one"
    assert volume.role is None
    assert volume.rejection is not None
    assert volume.rejection.code == "TOO_FEW_SLICES"


def test_an_override_that_matches_nothing_changes_nothing(tmp_path: Path) -> None:
    series = [images(each) for each in (SWI, SWI_MAGNITUDE, SWI_PHASE, T1)]
    override = one(tmp_path, "{SeriesDescription: SWI}", "role: SUSC")
    study = tmp_path / "study"
    assert detected(study, (override,), *series) == detected(study, (), *series)


def test_a_private_element_is_asked_for_by_its_customary_tag(tmp_path: Path) -> None:
    override = one(tmp_path, "{'0043,102F': 1}", "label: PHASE")
    found = []
    for kind in (0, 1):
        series = images(GE_SWAN)
        for instance in series:
            instance.update(private(0x43, 0x11, "GEMS_PARM_01", 0x2F, "SS", kind))
        (volume,) = detected(tmp_path / str(kind), (override,), series).volumes
        found.append((volume.override_id, volume.classification.label))
    assert found == [(None, SequenceLabel.SWI), ("one", SequenceLabel.PHASE)]


def analysed(folder: Path, *overrides: SiteOverride) -> DetectionReport:
    return analyse_study(
        lambda: StudyFolder.read(folder, max_slices=2000),
        LoadedModel(heads.SPEC, heads.DarkSpots(), "TestExecutionProvider"),
        AnalysisParameters(8, "9.9", "here", overrides),
        heads.Recorder(),
        time.monotonic,
    ).report


def test_an_analysis_tells_which_override_acted_and_where(tmp_path: Path) -> None:
    study = tmp_path / "study"
    write_instances(mr_series(heads.head(clot=False), **heads.SWI), study)
    override = one(tmp_path, "{SeriesDescription: swi_images}", "role: SUSC")
    idle = one(tmp_path, "{SeriesDescription: tof}", "role: TOF")
    plain, told, same = analysed(study), analysed(study, override), analysed(study, idle)
    assert told.result is plain.result is StudyResult.NO_THROMBUS_FOUND

    (warning,) = [each for each in told.warnings if each.code == "SITE_OVERRIDE"]
    assert "override one of the site" in warning.detail
    assert f"acted on {heads.SWI['SeriesInstanceUID']}: SWI, SUSC" in warning.detail
    assert [volume.override_id for volume in told.volumes] == ["one"]
    for other in (plain, same):
        assert "SITE_OVERRIDE" not in {each.code for each in other.warnings}

    digests = {report.analysis_digest for report in (plain, told, same)}
    assert len(digests) == 3
    assert analysed(study, override).analysis_digest == told.analysis_digest
