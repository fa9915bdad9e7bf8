"""Drawn thrombi, infarcts and mimics against the published shares and ranges."""

from collections import Counter

import numpy as np
import pytest

from training.simulate.anatomy import load_mni
from training.simulate.arteries import draw_arteries
from training.simulate.clot import (
    LENGTH_LIMITS_MM,
    OCCLUSION_SITES,
    Clot,
    descendants,
    draw_clot,
)
from training.simulate.grids import axial_grid
from training.simulate.head import Head, bend, draw_warp
from training.simulate.mimics import draw_sources
from training.simulate.patient import draw_congested_side
from training.simulate.territory import draw_infarct, territory
from training.simulate.tube import Tube

COUNT = 500


@pytest.fixture(scope="module")
def head() -> Head:
    return bend(load_mni(), draw_warp(np.random.default_rng(4)))


@pytest.fixture(scope="module")
def arteries(head: Head) -> dict[str, Tube]:
    return draw_arteries(head.place, np.random.default_rng(5))


@pytest.fixture(scope="module")
def clots(arteries: dict[str, Tube]) -> list[Clot]:
    rng = np.random.default_rng(0)
    return [draw_clot(arteries, rng) for _ in range(COUNT)]


def test_sites_have_their_published_shares(clots: list[Clot]) -> None:
    counts = Counter(clot.site for clot in clots)
    for site, row in OCCLUSION_SITES.items():
        # Four standard deviations of a binomial count.
        allowed = 4 * np.sqrt(row.share * (1 - row.share) / COUNT)
        assert counts[site] / COUNT == pytest.approx(row.share, abs=allowed)


def test_sites_are_alike_where_that_is_asked_for(arteries: dict[str, Tube]) -> None:
    rng = np.random.default_rng(1)
    counts = Counter(draw_clot(arteries, rng, even=True).site for _ in range(COUNT))
    share = 1 / len(OCCLUSION_SITES)
    for site in OCCLUSION_SITES:
        assert counts[site] / COUNT == pytest.approx(share, abs=4 * np.sqrt(share / COUNT))


def test_lengths_are_those_of_the_table_where_the_vessel_is_long_enough(
    clots: list[Clot],
) -> None:
    for site in ("M1", "ICA"):
        lengths = [c.pieces[0].tube.length_mm for c in clots if c.site == site]
        assert np.median(lengths) == pytest.approx(OCCLUSION_SITES[site].median_mm, rel=0.3)
    everything = [piece.tube.length_mm for clot in clots for piece in clot.pieces]
    assert max(everything) <= LENGTH_LIMITS_MM[1] + 0.5


def test_susceptibilities_are_those_of_two_kinds(clots: list[Clot]) -> None:
    cardioembolic = [c.pieces[0].mean_ppm for c in clots if c.cardioembolic]
    other = [c.pieces[0].mean_ppm for c in clots if not c.cardioembolic]
    assert len(cardioembolic) / COUNT == pytest.approx(0.6, abs=0.09)
    assert np.mean(cardioembolic) == pytest.approx(0.42, abs=0.03)
    assert np.mean(other) == pytest.approx(0.22, abs=0.04)
    assert min(other) >= 0.02


def test_fragments_are_rare_and_lie_behind_the_clot(
    clots: list[Clot], arteries: dict[str, Tube]
) -> None:
    with_fragments = [clot for clot in clots if len(clot.pieces) > 1]
    assert 0.02 < len(with_fragments) / COUNT < 0.12
    for clot in with_fragments:
        for piece in clot.pieces[1:]:
            assert piece.vessel in clot.without_flow
            first = clot.without_flow[piece.vessel]
            behind = arteries[piece.vessel].centreline[first:]
            assert np.linalg.norm(behind - piece.tube.centreline[0], axis=1).min() < 0.5


def test_what_is_behind_the_clot_has_no_flow(clots: list[Clot], arteries: dict[str, Tube]) -> None:
    clot = next(c for c in clots if c.site == "M1" and c.side == "R")
    behind = set(descendants("M1_R", arteries))
    assert {name[:2] for name in behind} == {"M2", "M3"}
    assert behind | {"M1_R"} == set(clot.without_flow)


def test_branches_before_the_clot_keep_their_flow(arteries: dict[str, Tube]) -> None:
    rng = np.random.default_rng(3)
    distal: list[Clot] = []
    while len(distal) < 3:
        clot = draw_clot(arteries, rng)
        first = clot.without_flow.get("BA", 0)
        if clot.site == "BA" and first > 0.6 * len(arteries["BA"].centreline):
            distal.append(clot)
    for clot in distal:
        # The anterior inferior cerebellar arteries leave the basilar below its middle.
        assert not {name for name in clot.without_flow if name.startswith("AICA")}
        assert {name[:2] for name in clot.without_flow} >= {"P1", "SC"}


def test_texture_varies_and_keeps_the_mean(clots: list[Clot]) -> None:
    piece = next(c.pieces[0] for c in clots if c.pieces[0].layer_factor == 1)
    points = np.random.default_rng(0).uniform(-20, 20, (20000, 3))
    factors = piece.texture.at(points)
    assert factors.mean() == pytest.approx(1, abs=0.02)
    assert factors.std() == pytest.approx(0.2, abs=0.02)


def test_layers_are_in_15_percent(clots: list[Clot]) -> None:
    layered = [clot for clot in clots if clot.pieces[0].layer_factor < 1]
    assert 0.09 < len(layered) / COUNT < 0.22
    tube = layered[0].pieces[0].tube
    ppm = layered[0].pieces[0].susceptibility(tube.centreline)
    half = len(ppm) // 2
    assert ppm[half:].mean() < 0.8 * ppm[:half].mean()


def test_a_third_of_lateral_strokes_congests_the_veins_of_its_side(clots: list[Clot]) -> None:
    rng = np.random.default_rng(0)
    lateral = [clot for clot in clots if clot.side]
    sides = [draw_congested_side(clot, rng) for clot in lateral]
    pairs = zip(lateral, sides, strict=True)
    assert all(side in (None, clot.side) for clot, side in pairs)
    assert np.mean([side is not None for side in sides]) == pytest.approx(0.34, abs=0.09)
    assert all(draw_congested_side(None, rng) is None for _ in range(20))


def _starved(arteries: dict[str, Tube], site: str, name: str) -> Clot:
    rng = np.random.default_rng(1)
    while True:
        clot = draw_clot(arteries, rng)
        if clot.site == site and name in clot.without_flow:
            return clot


def test_territory_is_downstream(head: Head, arteries: dict[str, Tube]) -> None:
    low, high = head.geometry.origin, head.geometry.to_lps(np.array(head.geometry.shape) - 1)
    counts = tuple(int(n) for n in (high - low)[::-1] // 4)
    grid = axial_grid(low, (4.0, 4.0, 4.0), counts)
    starved = territory(grid, _starved(arteries, "M1", "M1_R"), arteries)

    def is_starved(mni_right: float, anterior: float, superior: float) -> bool:
        point = head.place(np.array([-mni_right, -anterior, superior]))
        return bool(starved[tuple(np.rint(grid.to_index(point)).astype(int))])

    assert is_starved(50, -10, 25)  # lateral convexity, right
    assert is_starved(40, -5, 5)  # insula
    assert not is_starved(-50, -10, 25)  # left
    assert not is_starved(5, 50, 20)  # medial frontal: anterior cerebral artery
    assert not is_starved(10, -85, 5)  # occipital pole: posterior cerebral artery


def test_infarct_lies_in_brain_on_the_side_of_the_clot(
    head: Head, arteries: dict[str, Tube]
) -> None:
    clot = _starved(arteries, "M1", "M1_L")
    infarct = draw_infarct(head, clot, arteries, np.random.default_rng(2))
    assert infarct.related
    dead = np.argwhere(infarct.fraction > 0.5)
    assert len(dead) > 50
    midline = head.place(np.array([0.0, 0.0, 20.0]))[0]
    side = head.geometry.to_lps(dead)[:, 0] - midline
    # LPS x grows to the patient's left.
    assert (side > 0).mean() > 0.95
    brain = head.tissues["grey"] + head.tissues["white"]
    assert (infarct.fraction <= brain + 1e-5).all()


def test_infarct_is_patchy_as_published(head: Head, arteries: dict[str, Tube]) -> None:
    clot = _starved(arteries, "M1", "M1_L")
    low, normal = [], []
    for seed in range(4):
        infarct = draw_infarct(head, clot, arteries, np.random.default_rng(seed))
        ratios = infarct.adc_ratio[infarct.fraction > 0.5]
        low.append((ratios < 0.9).mean())
        normal.append(((ratios > 0.9) & (ratios < 1.05)).mean())
    assert np.mean(low) == pytest.approx(0.72, abs=0.15)
    assert np.mean(normal) == pytest.approx(0.20, abs=0.12)


def test_mimics_have_their_shares_and_signs(head: Head, arteries: dict[str, Tube]) -> None:
    rng = np.random.default_rng(0)
    infarct = draw_infarct(head, None, arteries, rng)
    patients = [draw_sources(head, arteries, infarct, rng) for _ in range(150)]
    bleeding = [any(s.kind == "microbleed" for s in sources) for sources in patients]
    assert np.mean(bleeding) == pytest.approx(0.32, abs=0.13)
    for source in (source for sources in patients for source in sources):
        assert (source.ppm < 0) == (source.kind == "calcification")
    calcified = [any(s.kind == "calcification" for s in sources) for sources in patients]
    assert np.mean(calcified) > 0.8
    depth = [
        head.surface_mm[tuple(np.rint(head.geometry.to_index(s.body.centreline[1])).astype(int))]
        for sources in patients
        for s in sources
        if s.kind == "microbleed"
    ]
    assert max(depth) < 0
