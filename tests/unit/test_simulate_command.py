"""``thrombolens simulate``: cases in parallel, failures, restarts, and the command as a plug-in."""

import json
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from service.entrypoints.cli.plugins import GROUP, add_plugins
from tests.simulated import simulate_small
from training.simulate.batch import OPTIONS, PARTIAL, Recipe, orders
from training.simulate.command import make_all
from training.simulate.formats import Format, Style
from training.simulate.site import load_sites

PRESENT = EntryPoint("simulate", "training.simulate.command:simulate", GROUP)
ABSENT = EntryPoint("simulate", "training.not_installed:simulate", GROUP)


def plugged(point: EntryPoint) -> typer.Typer:
    app = typer.Typer()

    @app.command()
    def version() -> None:
        """Stand beside, so that commands have names."""

    add_plugins(app, [point])
    return app


def test_sites_are_taken_in_turn() -> None:
    sites = load_sites().select("B,A")
    assert [order.name for order in orders(9, 3, sites)] == ["B0009", "A0010", "B0011"]


def test_failed_cases_are_told_and_others_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = orders(12, 3, load_sites().select("B"))
    recipe = Recipe(simulate_small, tmp_path, Format.DICOM, Style.SIEMENS_XA)
    assert make_all(recipe, wanted, processes=2) == 1
    told = capsys.readouterr().err
    assert "seed 13 at site B failed: ValueError: patient 13 is unlucky" in told
    assert "2 made, 0 were there, 1 failed" in told
    for name in ("B0012", "B0014"):
        assert list((tmp_path / name / "dicom").rglob("*.dcm"))
        truth = {path.name for path in (tmp_path / name / "truth").iterdir()}
        assert truth == {"lumen.nii.gz", "svs.nii.gz", "microbleed.nii.gz", "case.json"}
        assert json.loads((tmp_path / name / "truth" / "case.json").read_text())["name"] == name
    assert not (tmp_path / "B0013").exists()
    assert not (tmp_path / PARTIAL).exists()


def test_complete_cases_are_left_alone_and_partial_ones_made_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = orders(1, 2, load_sites().select("B"))
    recipe = Recipe(simulate_small, tmp_path, Format.NIFTI)
    (tmp_path / "sub-B0001").mkdir()
    (tmp_path / PARTIAL / "sub-B0002").mkdir(parents=True)
    (tmp_path / PARTIAL / "sub-B0002" / "left over").touch()
    assert make_all(recipe, wanted, processes=1) == 0
    assert "1 made, 1 were there, 0 failed" in capsys.readouterr().err
    assert not any((tmp_path / "sub-B0001").iterdir())
    assert not (tmp_path / PARTIAL).exists()
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"sub-B0001", "sub-B0002", "derivatives", "dataset_description.json"}
    assert list((tmp_path / "derivatives" / "truth" / "sub-B0002").rglob("*mask.nii.gz"))


def test_help_lists_the_command_without_loading_what_it_needs() -> None:
    code = (
        "import sys\n"
        "from service.entrypoints.cli import main\n"
        "sys.argv = ['thrombolens', '--help']\n"
        "try:\n    main()\n"
        "finally:\n"
        "    sys.stderr.write(str(sorted({'torch', 'nibabel', 'nilearn'} & set(sys.modules))))\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True
    )
    assert "simulate" in done.stdout
    assert "no real image" in " ".join(done.stdout.replace("│", " ").split())
    assert done.stderr == "[]"


def test_a_command_that_is_not_installed_says_how_to_get_it() -> None:
    answer = CliRunner().invoke(plugged(ABSENT), ["simulate", "--site", "B"])
    assert answer.exit_code == 1
    assert 'pip install "thrombolens[training]"' in answer.stderr
    assert len(answer.stderr.splitlines()) == 1


def test_a_missing_extra_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "nilearn", None)
    answer = CliRunner().invoke(plugged(PRESENT), ["simulate", "--out", str(tmp_path / "cases")])
    assert answer.exit_code == 1
    assert 'pip install "thrombolens[training]"' in answer.stderr
    assert "nilearn" in answer.stderr
    assert len(answer.stderr.splitlines()) == 1
    assert not (tmp_path / "cases").exists()


def test_unknown_sites_are_named(tmp_path: Path) -> None:
    words = ["simulate", "--site", "Q", "--out", str(tmp_path)]
    answer = CliRunner().invoke(plugged(PRESENT), words)
    assert answer.exit_code == 2
    assert "'Q'" in answer.stderr


@pytest.mark.parametrize("option", ["--anatomies", "--out"])
def test_a_file_is_no_folder(tmp_path: Path, option: str) -> None:
    file = tmp_path / "file"
    file.write_text("kept")
    words = ["simulate", "--out", str(tmp_path / "cases"), option, str(file)]
    answer = CliRunner().invoke(plugged(PRESENT), words)
    assert answer.exit_code == 2
    assert option in answer.stderr
    assert "is a file" in " ".join(answer.stderr.replace("│", " ").split())
    assert file.read_text() == "kept"
    assert not (tmp_path / "cases").exists()


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--vendor", "ge"], "vendor null, not"),
        (["--jitter"], "jitter false, not"),
        (["--complete"], "complete false, not"),
        (["--without-clot"], "with-clot null, not"),
        (["--heads", "MNI152"], "heads [], not"),
        (["--format", "dicom"], 'format "nifti", not'),
    ],
)
def test_a_folder_takes_only_cases_of_the_same_options(
    tmp_path: Path, words: list[str], named: str
) -> None:
    (tmp_path / "sub-B0000").mkdir()
    same = ["simulate", "--site", "B", "--out", str(tmp_path)]
    for more in ([], ["--device", "cpu", "--processes", "1"]):
        answer = CliRunner().invoke(plugged(PRESENT), [*same, *more])
        assert answer.exit_code == 0, answer.stderr
        assert "0 made, 1 were there" in answer.stderr
    noted = (tmp_path / OPTIONS).read_text()
    answer = CliRunner().invoke(plugged(PRESENT), [*same, *words])
    assert answer.exit_code == 2
    assert named in " ".join(answer.stderr.replace("│", " ").split())
    assert (tmp_path / OPTIONS).read_text() == noted


def test_a_folder_whose_options_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / OPTIONS).parent.mkdir()
    (tmp_path / OPTIONS).write_text("{")
    words = ["simulate", "--site", "B", "--out", str(tmp_path)]
    answer = CliRunner().invoke(plugged(PRESENT), words)
    assert answer.exit_code == 2
    assert "simulate.json" in answer.stderr.replace("\n", "").replace("│", "").replace(" ", "")
