"""What must not change a label that the detector is confident of."""

from collections.abc import Sequence
from copy import deepcopy
from functools import cache
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from service.adapters.study_files import ReadLimits, StudyCatalogue
from service.domain.sequence import Classification
from service.stages.detect_sequences import detect_sequences
from service.stages.weigh_evidence import CONFIDENT
from tests.header_patterns import Pattern, read_patterns
from tests.strategies import write_instances

ACCENTED = str.maketrans({"a": "à", "e": "é", "i": "ï", "o": "ô", "u": "ü", "c": "ç", "n": "ñ"})
NAMES = ("SeriesDescription", "ProtocolName")
# Without these there is no image.
NEEDED = {"SOPClassUID", "Modality"}


def classifications(instances: Sequence[Dataset]) -> set[Classification]:
    """Write the instances in this order, read them, and return what their volumes are."""
    with TemporaryDirectory() as place:
        for index, instance in enumerate(instances):
            write_instances([instance], Path(place) / f"{index:04d}")
        catalogue = StudyCatalogue.read(Path(place), ReadLimits(10_000), headers_only=True)
    (study,) = catalogue.studies
    return {found.classification for found in detect_sequences(study.facts).volumes}


@cache
def alone(pattern: Pattern) -> Classification:
    (found,) = classifications(pattern.instances())
    return found


@cache
def confident_patterns() -> list[Pattern]:
    """Patterns whose label the detector is confident of, right or wrong."""
    found = [each for each in read_patterns() if each.is_mr and alone(each).confidence >= CONFIDENT]
    assert len(found) > 50
    return found


def patterns() -> st.SearchStrategy[Pattern]:
    return st.deferred(lambda: st.sampled_from(confident_patterns()))


@settings(deadline=None, max_examples=60)
@given(patterns(), st.randoms(use_true_random=False))
def test_order_and_repetition_of_the_files_change_nothing(pattern: Pattern, random: Random) -> None:
    instances = pattern.instances()
    again = [*instances, *random.choices(instances, k=5)]
    random.shuffle(again)
    assert classifications(again) == {alone(pattern)}


@settings(deadline=None, max_examples=150)
@given(patterns(), st.data())
def test_any_attribute_may_be_missing(pattern: Pattern, data: st.DataObject) -> None:
    droppable = [*(pattern.header.keys() - NEEDED), *pattern.private]
    missing = data.draw(st.sampled_from(sorted(droppable)))
    instances = pattern.instances()
    for instance in instances:
        _drop(instance, missing)
    assert {found.label for found in classifications(instances)} == {alone(pattern).label}


@settings(deadline=None, max_examples=150)
@given(patterns(), st.data())
def test_two_missing_attributes_never_make_another_label_sure(
    pattern: Pattern, data: st.DataObject
) -> None:
    droppable = sorted([*(pattern.header.keys() - NEEDED), *pattern.private])
    missing = data.draw(st.lists(st.sampled_from(droppable), min_size=1, max_size=2, unique=True))
    instances = pattern.instances()
    for instance in instances:
        for name in missing:
            _drop(instance, name)
    for found in classifications(instances):
        assert found.label is alone(pattern).label or found.confidence < CONFIDENT


@settings(deadline=None, max_examples=60)
@given(patterns())
def test_names_may_be_missing(pattern: Pattern) -> None:
    instances = pattern.instances()
    for instance in instances:
        for name in NAMES:
            instance.pop(name, None)
    assert {found.label for found in classifications(instances)} == {alone(pattern).label}


@settings(deadline=None, max_examples=100)
@given(
    patterns(),
    st.sampled_from([str.upper, str.lower, str.title, str.swapcase]),
    st.sampled_from(["_", " ", "-", "  "]),
    st.booleans(),
)
def test_case_accents_and_separators_of_names_change_nothing(
    pattern: Pattern, cased: type[str], separator: str, accented: bool
) -> None:
    instances = pattern.instances()
    for instance in instances:
        for name in NAMES:
            text = str(instance.get(name, ""))
            if text:
                instance.SpecificCharacterSet = "ISO_IR 192"
                text = text.replace("_", separator).replace(" ", separator)
                text = text.lower().translate(ACCENTED) if accented else text
                with disable_value_validation():
                    setattr(instance, name, cased(text))
    assert {found.label for found in classifications(instances)} == {alone(pattern).label}


def test_the_limit_of_confidence_bites() -> None:
    """A label that hangs on one attribute is not confident, and loses it without that one."""
    frail = next(
        each
        for each in read_patterns()
        if each.is_mr and set(each.header) <= {"Modality", "SeriesDescription"}
    )
    assert alone(frail).confidence < CONFIDENT
    bare = deepcopy(frail.instances())
    for instance in bare:
        instance.pop("SeriesDescription", None)
    assert {found.label for found in classifications(bare)} != {alone(frail).label}


def _drop(instance: Dataset, name: str) -> None:
    if "," not in name:
        instance.pop(name, None)
        return
    group, element = name.split(",")
    del instance[Tag(int(group, 16), int(element, 16))]


@pytest.mark.parametrize("name", ["0043,102F", "SeriesDescription"])
def test_dropping_drops(name: str) -> None:
    pattern = next(each for each in read_patterns() if name in {*each.header, *each.private})
    (before, after) = (pattern.instances()[0] for _ in range(2))
    _drop(after, name)
    assert len(after) == len(before) - 1
