"""What the pages about sequence detection promise is what the code has."""

import re
from pathlib import Path

from service.adapters.header_facts import KNOWN_ATTRIBUTES
from service.domain.sequence import SequenceLabel
from service.stages.rule_table import rule_table
from service.stages.sequence_rules import RULES

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_committed_table_of_rules_is_current() -> None:
    page = (DOCS / "sequence-rules.md").read_text(encoding="utf-8")
    assert page.endswith(rule_table() + "\n"), "stale: put the output of `thrombolens rules` there"


def test_the_table_has_every_rule_with_its_source() -> None:
    rows = rule_table().splitlines()[2:]
    assert [row.split(" | ")[0].removeprefix("| ") for row in rows] == [
        rule.rule_id for rule in RULES
    ]
    assert all(rule.source and rule.tests for rule in RULES)


def test_links_between_pages_lead_somewhere() -> None:
    for page in DOCS.rglob("*.md"):
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_page_names_every_label_and_every_attribute_of_overrides() -> None:
    page = (DOCS / "sequences.md").read_text(encoding="utf-8")
    words = set(re.findall(r"`([^`\n]+)`", page))
    assert set(SequenceLabel) <= words
    listed = page[page.index("These attributes can be asked about:") : page.index("## What it can")]
    assert set(re.findall(r"`([^`]+)`", listed)) == KNOWN_ATTRIBUTES
