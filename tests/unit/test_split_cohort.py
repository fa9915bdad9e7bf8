"""Splits by patient and centre: complete, disjoint, even, the same each time."""

import json
from pathlib import Path

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from training.bids_participants import centres, write_participants
from training.cohort_errors import LayoutError, SplitError
from training.split_cohort import Shares, main, read_part, split

SHARES = Shares(0.15, 0.2)
HUNDRED = {f"sub-{i:03d}": "ABCC"[i % 4] for i in range(100)}


def _app() -> typer.Typer:
    app = typer.Typer()
    app.command()(main)
    return app


@given(
    st.lists(st.sampled_from("ABC"), min_size=4, max_size=60),
    st.integers(0, 99),
    st.floats(0, 0.3),
    st.floats(0, 0.3),
)
def test_everybody_is_in_one_part(
    places: list[str], seed: int, validation: float, test: float
) -> None:
    centre_of = {f"sub-{i}": place for i, place in enumerate(places)}
    parts = split(centre_of, Shares(validation, test), seed)
    everybody = [who for members in parts.values() for who in members]
    assert sorted(everybody) == sorted(centre_of)
    assert parts["train"]
    assert bool(parts["validation"]) == (validation > 0)
    assert len(parts["test"]) == (max(1, round(test * len(places))) if test > 0 else 0)


def test_every_centre_has_its_share_in_every_part() -> None:
    parts = split(HUNDRED, SHARES, 0)
    for name, share in (("test", 0.2), ("validation", 0.15), ("train", 0.65)):
        for centre in "ABC":
            here = sum(HUNDRED[who] == centre for who in parts[name])
            whole = sum(place == centre for place in HUNDRED.values())
            assert here == pytest.approx(share * whole, abs=1.01), (name, centre)


def test_same_seed_same_split_whatever_the_order() -> None:
    backwards = dict(reversed(HUNDRED.items()))
    assert split(HUNDRED, SHARES, 3) == split(backwards, SHARES, 3)
    assert split(HUNDRED, SHARES, 3) != split(HUNDRED, SHARES, 4)


def test_held_out_centres_are_a_part_of_their_own() -> None:
    parts = split(HUNDRED, Shares(0.15, 0.2, ("A",)), 0)
    assert {HUNDRED[who] for who in parts["test-centres"]} == {"A"}
    assert len(parts["test-centres"]) == 25
    assert len(parts["test"]) == 15
    assert "A" not in {HUNDRED[who] for who in parts["train"] + parts["test"]}


def test_impossible_splits_are_refused() -> None:
    with pytest.raises(SplitError, match=r"validation 0\.6 and test 0\.4"):
        Shares(0.6, 0.4)
    with pytest.raises(SplitError, match="no centre 'D'; known are A, B, C"):
        split(HUNDRED, Shares(0.1, 0.1, ("D",)), 0)
    with pytest.raises(SplitError, match="2 patients are too few for a validation part"):
        split({"sub-1": "A", "sub-2": "A"}, SHARES, 0)
    with pytest.raises(SplitError, match="none is left for training"):
        split(HUNDRED, Shares(0.0, 0.0, ("A", "B", "C")), 0)


def test_centre_is_read_of_either_column(tmp_path: Path) -> None:
    table = tmp_path / "participants.tsv"
    for column in ("centre", "site"):
        table.write_text(f"participant_id\tage\t{column}\nsub-1\t70\tNorth\nsub-2\t71\tSouth\n")
        assert centres(tmp_path, ["sub-2", "sub-1", "sub-2"]) == {
            "sub-1": "North",
            "sub-2": "South",
        }
    with pytest.raises(LayoutError, match="no centre for sub-3"):
        centres(tmp_path, ["sub-3"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("participant_id\tage\nsub-1\t70\n", "no column centre or site .* participant_id, age"),
        ("name\tcentre\nsub-1\tNorth\n", "no column participant_id; it has name, centre"),
        ("participant_id\tcentre\nsub-1\tn/a\n", "no centre for sub-1"),
        ("participant_id\tcentre\nsub-1\tNorth\tx\n", "more fields than its header"),
        ("participant_id\tcentre\n", "no column centre or site .* it has no row"),
    ],
)
def test_what_is_missing_in_the_table_is_named(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "participants.tsv").write_text(content)
    with pytest.raises(LayoutError, match=message):
        centres(tmp_path, ["sub-1"])


def test_simulated_cases_know_their_site(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match=r"does not say which centre.*participants\.tsv"):
        centres(tmp_path, ["sub-B0007"])
    folder = tmp_path / "derivatives" / "truth" / "sub-B0007"
    folder.mkdir(parents=True)
    (folder / "sub-B0007_case.json").write_text('{"parameters": {"site": "B"}}')
    assert centres(tmp_path, ["sub-B0007"]) == {"sub-B0007": "B"}
    assert centres(tmp_path, ["sub-B0007"], "Elsewhere") == {"sub-B0007": "Elsewhere"}


def test_table_keeps_what_others_wrote(tmp_path: Path) -> None:
    table = tmp_path / "participants.tsv"
    table.write_text("participant_id\tage\tcentre\nsub-1\t70\tNorth\n")
    write_participants(table, {"sub-2": "South", "sub-1": "North"})
    assert table.read_text() == (
        "participant_id\tage\tcentre\nsub-1\t70\tNorth\nsub-2\tn/a\tSouth\n"
    )
    with pytest.raises(LayoutError, match="sub-1 is from 'North', not from 'West'"):
        write_participants(table, {"sub-1": "West"})


def test_command_writes_who_is_where(tmp_path: Path) -> None:
    for name in HUNDRED:
        (tmp_path / "bids" / name).mkdir(parents=True)
    write_participants(tmp_path / "bids" / "participants.tsv", HUNDRED)
    out = tmp_path / "split.json"
    command = [str(tmp_path / "bids"), "--out", str(out), "--test-centres", "A"]
    done = CliRunner().invoke(_app(), command)
    assert done.exit_code == 0, done.output
    document = json.loads(out.read_text())
    assert document["parts"] == split(HUNDRED, Shares(0.15, 0.2, ("A",)), 0)
    assert document["centres"] == HUNDRED
    assert read_part(out, "test", HUNDRED) == set(document["parts"]["test"])
    with pytest.raises(SplitError, match=r"no part 'tset'; it has train, validation, test"):
        read_part(out, "tset", HUNDRED)
    with pytest.raises(SplitError, match="does not know 1 patients of the data set, such as sub-x"):
        read_part(out, "test", [*HUNDRED, "sub-x"])
    refused = CliRunner().invoke(_app(), [*command[:-1], "D"])
    assert refused.exit_code == 2
    assert "no centre 'D'" in refused.output


def test_what_is_no_split_is_refused(tmp_path: Path) -> None:
    (tmp_path / "split.json").write_text("{}")
    with pytest.raises(SplitError, match="is no split"):
        read_part(tmp_path / "split.json", "train", [])
