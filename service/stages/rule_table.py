"""The rules of sequence detection as one table for people."""

from service.stages.sequence_rule import Rule
from service.stages.sequence_rules import RULES

_HEAD = "| rule | votes for | weight | when | source |\n|---|---|---|---|---|"


def rule_table() -> str:
    """Return all rules as a Markdown table, in their order."""
    return "\n".join([_HEAD, *map(_row, RULES)])


def _row(rule: Rule) -> str:
    when = "; ".join(f"{trait} {test.wanted}" for trait, test in rule.tests).replace("|", "\\|")
    return f"| {rule.rule_id} | {rule.label} | {rule.weight:+g} | {when} | {rule.source} |"
