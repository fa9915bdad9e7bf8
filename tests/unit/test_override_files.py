"""Files of site overrides: what is read, what is refused by name, and what a condition holds of."""

from pathlib import Path
from textwrap import dedent

import pytest

from service.adapters.override_files import read_overrides
from service.domain.errors import InvalidOverridesError
from service.domain.override import Condition, SiteOverride
from service.domain.sequence import Role, SequenceLabel
from service.domain.study import FactValue, PlaneFacts

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
