"""Site overrides: how their file is read, when they act, what follows."""

import time
from pathlib import Path
from textwrap import dedent

import pytest
from pydicom.dataset import Dataset

from service.adapters.override_files import read_overrides
from service.adapters.study_files import StudyFolder
from service.application.analyse_study import AnalysisParameters, LoadedModel, analyse_study
from service.domain.errors import InvalidOverridesError
from service.domain.finding import StudyResult
from service.domain.override import Condition, SiteOverride
from service.domain.report import DetectionReport
from service.domain.sequence import Role, SequenceLabel
from service.domain.study import ClassifiedVolume, DetectedSequences, FactValue, PlaneFacts
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
from tests.unit.test_study_files import private

GOOD = """
version: 1
overrides:
  - id: swan-phase
    why: software 27 writes no phase flag
    match:
      Manufacturer: GE MEDICAL SYSTEMS
      SoftwareVersions: 5.10
      SeriesDescription: {regex: '^SWAN.*(pha|φ)', contains: swan}
      "0043,102F": 1
      EchoTime: {min: 18, max: 30.5}
    label: PHASE
    role: PHASE
  - id: no
    match:
      InversionRecovery: NO
      ScanOptions: {one_of: [FS, 2, off]}
    role: NEVER
  - id: flair
    match: {ProtocolName: {equals: Kopf}}
    label: FLAIR
"""


def read(folder: Path, text: str) -> tuple[SiteOverride, ...]:
    path = folder / "site.yaml"
    path.write_text(dedent(text), encoding="utf-8")
    return read_overrides(path)


def one(folder: Path, match: str, effect: str = "label: SWI") -> SiteOverride:
    text = f"version: 1\noverrides:\n- id: one\n  match: {match}\n  {effect}\n"
    (override,) = read(folder, text)
    return override


def test_a_good_file_is_read_in_its_order_and_as_it_is_written(tmp_path: Path) -> None:
    assert read(tmp_path, GOOD) == (
        SiteOverride(
            "swan-phase",
            (
                Condition("Manufacturer", equals=("GE MEDICAL SYSTEMS",)),
                Condition("SoftwareVersions", equals=("5.10",)),
                Condition("SeriesDescription", regex="^SWAN.*(pha|φ)", contains="swan"),
                Condition("0043,102F", equals=("1",)),
                Condition("EchoTime", low=18.0, high=30.5),
            ),
            label=SequenceLabel.PHASE,
            role=Role.PHASE,
        ),
        SiteOverride(
            "no",
            (
                Condition("InversionRecovery", equals=("NO",)),
                Condition("ScanOptions", equals=("FS", "2", "off")),
            ),
            never=True,
        ),
        SiteOverride(
            "flair", (Condition("ProtocolName", equals=("Kopf",)),), label=SequenceLabel.FLAIR
        ),
    )


def test_no_overrides_are_fine(tmp_path: Path) -> None:
    assert read(tmp_path, "version: 1\noverrides: []") == ()


WRONG_ENTRIES = {
    "unknown attribute": ("{Echo: 20}", "label: SWI", ["match", "Echo ", "docs/sequences.md"]),
    "patient": ("{PatientName: DOE}", "label: SWI", ["PatientName", "not among"]),
    "unknown private": ("{'0043,1099': 2}", "label: SWI", ["0043,1099", "not among"]),
    "unknown label": ("{EchoTime: 20}", "label: SWIX", ["label", "'SWIX'", "'T2STAR'"]),
    "unknown role": ("{EchoTime: 20}", "role: swi", ["role swi is none of", "NEVER"]),
    "no match": ("{}", "label: SWI", ["match", "at least 1"]),
    "no effect": ("{EchoTime: 20}", "why: because", ["needs a label or a role"]),
    "bad regex": ("{ImageType: {regex: '('}}", "label: SWI", ["regex", "unterminated", "'('"]),
    "nothing asked": ("{EchoTime: {}}", "label: SWI", ["EchoTime", "needs one of equals"]),
    "empty list": ("{EchoTime: {one_of: []}}", "label: SWI", ["EchoTime.one_of", "at least 1"]),
    "empty text": ("{ImageType: {contains: ''}}", "label: SWI", ["contains", "''"]),
    "blank text": ("{ImageType: {contains: ' '}}", "label: SWI", ["contains", "' '"]),
    "empty regex": ("{ImageType: {regex: ''}}", "label: SWI", ["regex", "''"]),
    "nothing": ("{EchoTime: }", "label: SWI", ["EchoTime", "''"]),
    "list": ("{EchoTime: [20, 30]}", "label: SWI", ["EchoTime"]),
    "no number": ("{EchoTime: {min: short}}", "label: SWI", ["EchoTime.min", "'short'"]),
    "no bound": ("{EchoTime: {min: nan}}", "label: SWI", ["EchoTime.min", "'nan'"]),
    "nothing between": ("{EchoTime: {min: 9, max: 3}}", "label: SWI", ["min 9 and max 3"]),
    "unknown part": ("{EchoTime: {lowest: 5}}", "label: SWI", ["EchoTime.lowest", "'5'"]),
    "unknown key": ("{EchoTime: 20}", "lable: SWI", ["lable", "'SWI'"]),
    "condition twice": ("{EchoTime: 20, EchoTime: 30}", "label: SWI", ["EchoTime", "twice"]),
}


@pytest.mark.parametrize(("match", "effect", "words"), WRONG_ENTRIES.values(), ids=WRONG_ENTRIES)
def test_a_wrong_entry_is_named_with_its_value(
    tmp_path: Path, match: str, effect: str, words: list[str]
) -> None:
    text = f"""
        version: 1
        overrides:
        - {{id: fine, match: {{EchoTime: 20}}, role: SUSC}}
        - id: bad-one
          match: {match}
          {effect}
        """
    with pytest.raises(InvalidOverridesError) as caught:
        read(tmp_path, text)
    is_entry = "twice" not in words
    place = ["overrides.1", "bad-one"] if is_entry else ["line 6"]
    for word in (str(tmp_path / "site.yaml"), *place, *words):
        assert word in str(caught.value)


ENTRY = "{id: a, match: {EchoTime: 20}, role: SUSC}"
WRONG_FILES = {
    "id twice": (f"version: 1\noverrides: [{ENTRY}, {ENTRY}]", ["id a", "twice"]),
    "bad id": (f"version: 1\noverrides: [{ENTRY.replace('a', 'B c', 1)}]", ["id", "'B c'"]),
    "no id": ("version: 1\noverrides: [{match: {EchoTime: 20}, role: SUSC}]", ["overrides.0.id"]),
    "entry is a word": ("version: 1\noverrides: [swan]", ["overrides.0", "'swan'"]),
    "newer version": (f"version: 2\noverrides: [{ENTRY}]", ["version", "'2'"]),
    "odd version": (f"version: yes\noverrides: [{ENTRY}]", ["version", "'yes'"]),
    "no version": (f"overrides: [{ENTRY}]", ["version", "required"]),
    "no overrides": ("version: 1", ["overrides", "required"]),
    "unknown key": ("version: 1\noverrides: []\nrules: all", ["rules", "'all'"]),
    "key twice": ("version: 1\nversion: 1\noverrides: []", ["version", "twice"]),
    "a list": (f"[{ENTRY}]", ["the file", "dictionary"]),
    "empty": ("", ["the file", "dictionary"]),
    "no YAML": ("version: [1", ["expected", "line 1"]),
    "control characters": ("version: \x01", ["#x0001"]),
}


@pytest.mark.parametrize(("text", "words"), WRONG_FILES.values(), ids=WRONG_FILES)
def test_a_wrong_file_is_named_with_what_is_wrong(
    tmp_path: Path, text: str, words: list[str]
) -> None:
    with pytest.raises(InvalidOverridesError) as caught:
        read(tmp_path, text)
    for word in (str(tmp_path / "site.yaml"), *words):
        assert word in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"version: \xff")
    for path in (tmp_path / "missing.yaml", tmp_path, tmp_path / "binary"):
        with pytest.raises(InvalidOverridesError) as caught:
            read_overrides(path)
        assert str(path) in str(caught.value)
        assert caught.value.fixed_by == "operator of the service"


TYPES = ("ORIGINAL", "PRIMARY", "M", "SWI")


@pytest.mark.parametrize(
    ("condition", "fact", "holds"),
    [
        ("Schädel", "SCHADEL ", True),
        ("schadel", "Schädel", True),
        ("Schädel", "Schädel 2", False),
        ("頭部 SWI", "腹部 SWI", False),
        ("頭部", "腹部", False),
        ("頭部", "頭部", True),
        ("SWI", TYPES, True),
        ("swi", TYPES[:3], False),
        (r"original\primary\m\swi", TYPES, True),
        (r"original\primary", TYPES, False),
        ("20", 20.0, True),
        ("20.0", 20, True),
        ("20.5", 20, False),
        ("twenty", 20, False),
        ("1000001000", 1000001000.0, True),
        ("1000001000", 1000000000.0, False),
        ("0.1", 0.10000000149011612, True),
        ("5.10", "5.10", True),
        ("5.10", "5.1", False),
        ("20240102", "20240102", True),
        ("no", "NO", True),
        ("2", (1.0, 2.0), True),
        ("{one_of: [SE, gr]}", "GR", True),
        ("{one_of: [SE, IR]}", "GR", False),
        ("{equals: SE, one_of: [GR]}", "GR", True),
        ("{contains: kopf ö}", "t2 KOPF OHNE", True),
        ("{contains: φάση}", "SWI ΦΑΣΗ 1", True),
        ("{contains: 頭部}", "腹部", False),
        ("{contains: M}", ("ORIGINAL", "SECONDARY", "MIP"), True),
        ("{contains: 'PRIMARY\\M'}", TYPES, True),
        ("{contains: Z}", TYPES, False),
        ("{regex: '^swi'}", "SWI_Images", True),
        ("{regex: '^images'}", "SWI_Images", False),
        ("{regex: '^M$'}", TYPES, True),
        ("{regex: '^20$'}", 20.0, True),
        ("{min: 20}", 20.0, True),
        ("{min: 20.1}", 20.0, False),
        ("{max: 20}", 20, True),
        ("{max: 19.9}", 20, False),
        ("{min: 15, max: 25}", (5.0, 20.0), True),
        ("{min: 15, max: 25}", (5.0, 30.0), False),
        ("{min: 15}", "20", False),
        ("{contains: 2, min: 15}", 20.0, True),
        ("{contains: 3, min: 15}", 20.0, False),
        ("{contains: SW, regex: 'x'}", "SWI", False),
        ("SWI", None, False),
        ("{min: 0}", None, False),
        ("{regex: '.*'}", None, False),
    ],
)
def test_conditions(tmp_path: Path, condition: str, fact: FactValue | None, holds: bool) -> None:
    override = one(tmp_path, f"{{SeriesDescription: {condition}}}")
    attributes: dict[str, FactValue] = {} if fact is None else {"SeriesDescription": fact}
    plane = PlaneFacts("1.2", None, 4, 4, None, None, None, attributes)
    assert override.acts_on(plane) is holds


def test_all_conditions_must_hold(tmp_path: Path) -> None:
    override = one(tmp_path, "{Manufacturer: ge, EchoTime: {max: 30}}")
    cases: tuple[tuple[dict[str, FactValue], bool], ...] = (
        ({"Manufacturer": "GE", "EchoTime": 20}, True),
        ({"Manufacturer": "GE", "EchoTime": 40}, False),
        ({"Manufacturer": "GE"}, False),
    )
    for attributes, acts in cases:
        plane = PlaneFacts("1.2", None, 4, 4, None, None, None, attributes)
        assert override.acts_on(plane) is acts


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
