"""The detector on header patterns of many scanners, each with its source; see the table."""

from collections import Counter
from pathlib import Path

import pytest

from service.adapters.study_files import ReadLimits, StudyCatalogue
from service.domain.sequence import Classification, SequenceLabel
from service.stages.detect_sequences import detect_sequences
from tests.header_patterns import Pattern, read_patterns
from tests.strategies import write_instances

PATTERNS = read_patterns()
# What the detector is known to get wrong, and why it is left so.
KNOWN_WRONG = {
    # Research mode instead of a scanning sequence, no name: nothing tells that spins are labelled.
    "ge-mr750-pcasl-3d": SequenceLabel.OTHER_MR,
    # An MPRAGE without its inversion pulse, with the name of one.
    "siemens-7t-pd-tfl": SequenceLabel.T1,
}


def classified(folder: Path, pattern: Pattern, *, unknown_vr: bool = False) -> Classification:
    write_instances(pattern.instances(unknown_vr=unknown_vr), folder)
    (study,) = StudyCatalogue.read(folder, ReadLimits(1000), headers_only=True).studies
    return detect_sequences(study.facts).volumes[0].classification


@pytest.mark.parametrize("pattern", PATTERNS, ids=[pattern.name for pattern in PATTERNS])
def test_pattern_gets_its_label(tmp_path: Path, pattern: Pattern) -> None:
    found = classified(tmp_path, pattern)
    expected = KNOWN_WRONG.get(pattern.name, pattern.label)
    assert found.label is expected, found.evidence


VENDOR_PATTERNS = [pattern for pattern in PATTERNS if pattern.private]


@pytest.mark.parametrize("pattern", VENDOR_PATTERNS, ids=[each.name for each in VENDOR_PATTERNS])
def test_private_elements_are_understood_as_unknown_too(tmp_path: Path, pattern: Pattern) -> None:
    as_written = classified(tmp_path / "a", pattern)
    assert classified(tmp_path / "b", pattern, unknown_vr=True) == as_written


CONVERTED = [pattern for pattern in PATTERNS if pattern.basis == "composed"]


@pytest.mark.parametrize("pattern", CONVERTED, ids=[pattern.name for pattern in CONVERTED])
def test_label_of_the_same_series_converted_to_one_instance(
    tmp_path: Path, pattern: Pattern
) -> None:
    write_instances([pattern.legacy_converted()], tmp_path)
    (study,) = StudyCatalogue.read(tmp_path, ReadLimits(1000), headers_only=True).studies
    (found,) = detect_sequences(study.facts).volumes
    assert found.classification.label is pattern.label, found.classification.evidence
    assert len(found.volume.planes) == 24


def test_the_table_covers_every_label_and_names_its_sources() -> None:
    names = [pattern.name for pattern in PATTERNS]
    assert len(set(names)) == len(names)
    assert KNOWN_WRONG.keys() <= set(names)
    assert {pattern.label for pattern in PATTERNS} == set(SequenceLabel)
    assert all(pattern.source for pattern in PATTERNS)
    bases = Counter(pattern.basis for pattern in PATTERNS)
    assert set(bases) == {"sidecar", "issue", "document", "composed"}
    assert bases["sidecar"] >= 60


def test_what_an_archive_has_stripped_is_right_or_unsure(tmp_path: Path) -> None:
    """Full headers without names and private elements: most are right, few are wrong and sure."""
    full = [pattern for pattern in PATTERNS if pattern.basis == "sidecar" and pattern.is_mr]
    wrong = []
    for pattern in full:
        header = {
            keyword: value
            for keyword, value in pattern.header.items()
            if keyword not in ("SeriesDescription", "ProtocolName", "PulseSequenceName")
        }
        bare = Pattern(pattern.name, pattern.label, pattern.source, pattern.basis, header)
        found = classified(tmp_path / pattern.name, bare)
        if found.label is not pattern.label:
            wrong.append((pattern.name, found.confidence))
    assert len(wrong) < 0.25 * len(full)
    assert sum(confidence >= 0.9 for _, confidence in wrong) <= 0.02 * len(full)
