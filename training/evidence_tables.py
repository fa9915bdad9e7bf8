"""Fill the tables of a document from committed JSON: ``python -m training.evidence_tables FILE``.

A table stands between two lines, of which the first says where it comes from, by paths relative to
the working directory:

``<!-- comparison FILE -->`` ... ``<!-- end -->``
    What ``training.compare_runs`` wrote to FILE.
``<!-- evaluation FILE GROUPING -->``
    What ``training.evaluate`` wrote, by "label", "cohort", "site", "occlusion", "clot_size",
    "visibility", "missing" or "sequences".
``<!-- subsets FILE -->``
    Every combination of sequences in an evaluation.

``--check`` changes nothing and fails where a table is not what its JSON says.
"""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from training.compare_runs import markdown
from training.evaluation_report import MAIN, SUBSET, missing_table, table

# Documents also have remarks on blocks of commands, "not run: why", which are no tables.
_BLOCK = re.compile(r"(<!-- (?!not run:)(\w+) ([^\n]+?) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
LABEL = "label"


class EvidenceError(ValueError):
    """A document asks for a table that cannot be made."""


def evaluation(measured: Mapping[str, Any], grouping: str) -> str:
    """Return the means of an evaluation by a grouping."""
    groups = measured["labels"] if grouping == LABEL else measured["breakdown"][grouping]
    return table(grouping.replace("_", " "), groups, MAIN, measured["data"])


def subsets(measured: Mapping[str, Any]) -> str:
    """Return every combination of sequences, and the means by how many are missing."""
    found = measured["subsets"]
    if found is None:
        raise EvidenceError("the combinations of sequences were not measured")
    data = measured["data"]
    return f"{table('sequences', found['rows'], SUBSET, data)}\n\n{missing_table(found, data)}"


_KINDS: dict[str, Callable[..., str]] = {
    "comparison": markdown,
    "evaluation": evaluation,
    "subsets": subsets,
}


def filled(text: str) -> str:
    """Return a document with all its tables as their JSON says.

    Raises
    ------
    EvidenceError
        If a table is of no known kind, or its file is missing or has nothing of the kind.
    """
    return _BLOCK.sub(lambda found: found[1] + _made(found[2], found[3]) + found[5], text)


def _made(kind: str, source: str) -> str:
    if kind not in _KINDS:
        raise EvidenceError(f"{kind!r} is no kind of table; there are {', '.join(_KINDS)}")
    path, *grouping = source.split()
    try:
        rows = _KINDS[kind](json.loads(Path(path).read_text()), *grouping)
    except (OSError, ValueError, LookupError, TypeError) as exc:
        raise EvidenceError(f"no table {kind} {source}: {exc!r}") from exc
    return f"\n{rows.strip()}\n\n"


def main(
    document: Annotated[Path, typer.Argument(help="Markdown file to fill.", exists=True)],
    check: Annotated[bool, typer.Option(help="Change nothing; fail if a table is stale.")] = False,
) -> None:
    """Fill the tables, or check them."""
    before = document.read_text()
    try:
        after = filled(before)
    except EvidenceError as exc:
        raise typer.BadParameter(str(exc)) from exc
    if check and after != before:
        raise typer.BadParameter(f"tables of {document} are stale: fill them anew")
    document.write_text(after)
    typer.echo(f"{len(_BLOCK.findall(after))} tables of {document} are as their files say")


if __name__ == "__main__":
    typer.run(main)
