"""Which centre the patients of a BIDS data set were examined at."""

import csv
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from training.bids_layout import DERIVATIVES
from training.cohort_errors import LayoutError

PARTICIPANTS = "participants.tsv"
ID = "participant_id"
CENTRE_COLUMNS = ("centre", "site")
_NOT_KNOWN = frozenset({"", "n/a"})


def centres(root: Path, subjects: Iterable[str], everywhere: str = "") -> dict[str, str]:
    """Return the centre of every subject.

    Parameters
    ----------
    root : Path
        Of the data set: ``participants.tsv`` tells, or else what the simulator noted of its cases.
    subjects : iterable of str
    everywhere : str
        The centre of all subjects, instead of looking.

    Raises
    ------
    LayoutError
        Says which table, column, row or value is missing.
    """
    if everywhere:
        return dict.fromkeys(sorted(set(subjects)), everywhere)
    table = root / PARTICIPANTS
    known = _of_table(table) if table.exists() else _of_simulator(root)
    if not known:
        raise LayoutError(
            f"{root} does not say which centre its patients are from: write {PARTICIPANTS} with"
            f" the columns {ID} and {CENTRE_COLUMNS[0]}, or name the one centre with --centre"
        )
    for subject in sorted(set(subjects)):
        if known.get(subject, "") in _NOT_KNOWN:
            raise LayoutError(f"{table} has no centre for {subject}")
    return {subject: known[subject] for subject in sorted(set(subjects))}


def read_participants(table: Path) -> list[dict[str, str]]:
    """Return the rows of a table, one a participant.

    Raises
    ------
    LayoutError
        If the column of identifiers is missing or rows are ragged.
    """
    with table.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", restval=""))
        columns = list(rows[0]) if rows else [ID]
    if ID not in columns:
        raise LayoutError(f"{table} has no column {ID}; it has {', '.join(map(str, columns))}")
    if any(None in row for row in rows):
        raise LayoutError(f"{table} has a row with more fields than its header")
    return [dict(row) for row in rows]


def write_participants(table: Path, centre_of: Mapping[str, str]) -> Path:
    """Add participants and their centre to a table, which is made if it is not there.

    Raises
    ------
    LayoutError
        If a participant is there already, with another centre.
    """
    rows = {row[ID]: row for row in read_participants(table)} if table.exists() else {}
    for subject, centre in centre_of.items():
        row = rows.setdefault(subject, {ID: subject})
        if row.setdefault(CENTRE_COLUMNS[0], centre) != centre:
            raise LayoutError(
                f"{table}: {subject} is from {row[CENTRE_COLUMNS[0]]!r}, not from {centre!r}"
            )
    columns = list(dict.fromkeys([ID, *(name for row in rows.values() for name in row)]))
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="n/a", delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows[subject] for subject in sorted(rows))
    return table


def _of_table(table: Path) -> dict[str, str]:
    rows = read_participants(table)
    column = next((name for name in CENTRE_COLUMNS if rows and name in rows[0]), None)
    if column is None:
        there = ", ".join(rows[0]) if rows else "no row"
        raise LayoutError(
            f"{table} has no column {' or '.join(CENTRE_COLUMNS)} that says where a patient was"
            f" examined; it has {there}"
        )
    return {row[ID]: row[column].strip() for row in rows}


def _of_simulator(root: Path) -> dict[str, str]:
    found = {}
    for file in sorted(root.glob(f"{DERIVATIVES}/*/sub-*/sub-*_case.json")):
        parameters = json.loads(file.read_text(encoding="utf-8")).get("parameters", {})
        if "site" in parameters:
            found[file.parent.name] = str(parameters["site"])
    return found
