"""Sites as data: what a file may say, and what it may not."""

from pathlib import Path

import numpy as np
import pytest

from service.domain.sequence import Role
from training.simulate.site import (
    BUILT_IN,
    Composition,
    Handedness,
    SiteError,
    draw_scan,
    load_sites,
)


def _with(tmp_path: Path, old: str, new: str) -> Path:
    """The built-in file with one change."""
    text = BUILT_IN.read_text()
    assert old in text
    file = tmp_path / "sites.toml"
    file.write_text(text.replace(old, new, 1))
    return file


def test_built_in_sites_are_the_four_of_the_specification() -> None:
    table = load_sites()
    assert table.cohorts["monocentric"] == ("A",)
    assert table.cohorts["multicentric"] == ("A", "B", "C", "D")
    kinds = {name: site.susceptibility.composition for name, site in table.sites.items()}
    assert kinds == {
        "A": Composition.ECHO_MEAN,
        "B": Composition.PHASE_MASK,
        "C": Composition.PHASE_MASK,
        "D": Composition.MAGNITUDE,
    }
    assert [table.sites[name].field_strength_t for name in "ABCD"] == [3.0, 3.0, 1.5, 1.5]
    assert table.sites["C"].susceptibility.echo_times_ms == (40.0,)
    # The 2D site stores no phase.
    assert table.sites["D"].missing[Role.PHASE] == 1.0


def test_names_select_sites_and_cohorts() -> None:
    table = load_sites()
    assert [site.name for site in table.select("B, A,B")] == ["B", "A", "B"]
    assert [site.name for site in table.select("multicentric")] == ["A", "B", "C", "D"]
    with pytest.raises(SiteError, match="'X'"):
        table.select("A,X")


def test_a_file_adds_a_site_and_a_cohort(tmp_path: Path) -> None:
    own = BUILT_IN.read_text().split("[sites.B]")[0].replace("[sites.A", "[sites.Tours")
    own = own.replace('monocentric = ["A"]', 'ours = ["Tours", "A"]')
    own = own.replace('multicentric = ["A", "B", "C", "D"]', "")
    file = tmp_path / "own.toml"
    file.write_text(own)
    table = load_sites(file)
    assert table.sites["Tours"].field_strength_t == 3.0
    assert [site.name for site in table.select("ours")] == ["Tours", "A"]
    assert "B" in table.sites


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("field_strength_t = 3.0", "field_strength_t = 30.0", "30.0"),
        ('vendor = "ge"', 'vendor = "gee"', "gee"),
        ('composition = "echo mean"', 'composition = "mean"', "mean"),
        ("thickness_mm = [1.5, 2.0]", "thickness_mm = [2.0, 1.5]", "thickness_mm"),
        ("thickness_mm = [1.5, 2.0]", "thickness = [1.5, 2.0]", "thickness"),
        ("[13.0, 21.0, 29.0, 37.0, 45.0]", "[13.0, 21.0, 30.0]", "equally spaced"),
        ("volumetric = true", "volumetric = true\ngap_mm = [0.5, 0.5]", "gap"),
        ("SUSC = 0.05", "SUSC = 1.5", "1.5"),
        ("SUSC = 0.05", "T1 = 0.5", "T1"),
        ("repetition_ms = 52.0\n", "", "repetition_ms"),
        ('monocentric = ["A"]', 'monocentric = ["Z"]', "'Z'"),
        ('monocentric = ["A"]', "monocentric = []", "cohorts.monocentric"),
        ('monocentric = ["A"]', "q = 3", "cohorts.q"),
        ("[cohorts]", "[cohorts", "sites.toml"),
        ("[cohorts]", "[cohort]", "cohort: "),
        ("[sites.A]", "[site.Y]\n[sites.A]", "site: "),
        ("[sites.A]", "[sites]\nY = 3\n[sites.A]", "site Y: "),
        ("[sites.A]", '[sites.A]\nname = "B"', "named by its table"),
        ("repetition_ms = 52.0", "repetition_ms = 0", "repetition_ms"),
        ("repetition_ms = 52.0", "repetition_ms = nan", "repetition_ms"),
        ("flip_deg = 15.0", "flip_deg = 0.0", "flip_deg"),
        ("flip_deg = 15.0", "flip_deg = 181.0", "flip_deg"),
        ("b_values = [1000.0]", "b_values = [1000.0, 0.0]", "b_values"),
        ("bandwidth_hz_per_px = 16.0", "bandwidth_hz_per_px = 0.0", "bandwidth_hz_per_px"),
        ("bandwidth_hz_per_px = 16.0", "bandwidth_hz_per_px = -1.0", "bandwidth_hz_per_px"),
        ("inversion_ms = 2380.0", "inversion_ms = -1.0", "inversion_ms"),
        ("inversion_ms = 2380.0", "inversion_ms = 9000.0", "inversion_ms"),
        ("inversion_ms = 2380.0\n", "", "site A: Value error, flair needs"),
    ],
)
def test_what_cannot_be_a_site_is_named(tmp_path: Path, old: str, new: str, named: str) -> None:
    with pytest.raises(SiteError) as refused:
        load_sites(_with(tmp_path, old, new))
    assert named in str(refused.value)
    assert str(refused.value).startswith(str(tmp_path / "sites.toml"))


@pytest.mark.parametrize("text", ["cohorts = 3", "sites = [1]", 'sites = "A"'])
def test_tables_that_are_none_are_refused_with_the_file(tmp_path: Path, text: str) -> None:
    file = tmp_path / "own.toml"
    file.write_text(text)
    key = text.partition(" ")[0]
    with pytest.raises(SiteError, match=rf"own\.toml: {key}: .*(mapping|dictionary)"):
        load_sites(file)


@pytest.mark.parametrize("name", ["A1", '"A-B"', '"A.B"', '"A,B"', '""', '"É"', "A_B"])
def test_names_that_could_be_mistaken_are_refused(tmp_path: Path, name: str) -> None:
    own = BUILT_IN.read_text().split("[sites.B]")[0].replace("[sites.A", f"[sites.{name}")
    file = tmp_path / "own.toml"
    file.write_text(own[own.index("[sites") :])
    with pytest.raises(SiteError, match=r"own\.toml: .*letters A-Z"):
        load_sites(file)


def test_missing_sequence_is_named(tmp_path: Path) -> None:
    text = BUILT_IN.read_text()
    start, stop = text.index("[sites.A.flair]"), text.index("[sites.A.angiography]")
    file = tmp_path / "sites.toml"
    file.write_text(text[:start] + text[stop:])
    with pytest.raises(SiteError, match=r"site A: flair: Field required"):
        load_sites(file)


def test_scans_lie_in_the_protocols_ranges() -> None:
    rng = np.random.default_rng(0)
    site = load_sites().sites["D"]
    scans = [draw_scan(site.diffusion, rng) for _ in range(200)]
    low, high = site.diffusion.thickness_mm
    assert all(low <= scan.thickness_mm <= high for scan in scans)
    assert {scan.b_value for scan in scans} == set(site.diffusion.b_values)
    gapped = scans[0]
    assert gapped.voxel_mm[0] == pytest.approx(gapped.thickness_mm + gapped.gap_mm)


def test_handedness_is_fixed_or_drawn() -> None:
    rng = np.random.default_rng(0)
    table = load_sites()
    drawn = {draw_scan(table.sites["B"].susceptibility, rng).handedness for _ in range(30)}
    assert table.sites["B"].susceptibility.handedness is Handedness.RANDOM
    assert drawn == {-1, 1}
    fixed = {draw_scan(table.sites["D"].susceptibility, rng).handedness for _ in range(30)}
    assert fixed == {1}


def test_the_site_in_the_documentation_is_one(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "simulator.md").read_text()
    file = tmp_path / "example.toml"
    file.write_text(page.split("```toml\n")[1].split("```")[0])
    table = load_sites(file)
    assert [site.name for site in table.select("ours")] == ["Example", "B"]
    assert table.sites["Example"].susceptibility.handedness is Handedness.LEFT


def test_sites_for_training_and_for_measuring_are_apart() -> None:
    table = load_sites(Path(__file__).parents[2] / "training" / "configs" / "sites-wide.toml")
    wide, unseen = ({site.name for site in table.select(cohort)} for cohort in ("wide", "unseen"))
    assert wide > {site.name for site in table.select("multicentric")}
    assert len(unseen) >= 3
    assert not wide & unseen
