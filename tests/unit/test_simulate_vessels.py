"""Arteries and veins: connected, of published size, and where anatomy has them."""

from collections import Counter, defaultdict
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from training.simulate.anatomy import load_mni
from training.simulate.arteries import ARTERIES, SIDES, draw_arteries
from training.simulate.grids import Float64, ras_to_lps
from training.simulate.head import Head, bend, draw_warp
from training.simulate.tube import STEP_MM, Tube, make_tube
from training.simulate.veins import VEINS, draw_veins

# Published mean diameters, mm.
DIAMETERS = {"M1": 3.1, "M2S": 2.4, "BA": 3.3, "A1": 2.1, "P1": 2.1}
IN_FLUID = {"M1": 0.2, "A1": 0.2, "BA": 0.1, "P1": 0.2, "PCom": 0.2, "SCA": 0.4, "AICA": 0.3}


@pytest.fixture(scope="module")
def head() -> Head:
    return bend(load_mni(), draw_warp(np.random.default_rng(2)))


@pytest.fixture(scope="module")
def veins(head: Head) -> list[Tube]:
    return draw_veins(head, np.random.default_rng(4), None)


def identity(points: object) -> Float64:
    return np.asarray(points, float)


def sample(head: Head, name: str, points: Float64) -> Float64:
    voxels = head.surface_mm if name == "surface" else head.tissues[name]
    return ndimage.map_coordinates(voxels, head.geometry.to_index(points).T, order=1)


def test_tube_is_sampled_at_equal_steps_through_its_points() -> None:
    control = np.array([(0, 0, 0), (10, 0, 0), (12, 9, 3), (12, 9, 20)], float)
    tube = make_tube("a", control, (4.0, 3.0, 2.0))
    steps = np.linalg.norm(np.diff(tube.centreline, axis=0), axis=1)
    assert np.abs(steps - STEP_MM).max() < 0.02
    assert tube.length_mm == pytest.approx(steps.sum())
    for point in control:
        assert np.linalg.norm(tube.centreline - point, axis=1).min() < STEP_MM
    assert tube.radius_mm[0] == pytest.approx(2.0)
    assert tube.radius_mm[len(tube.radius_mm) // 2] == pytest.approx(1.5, abs=0.01)
    assert tube.radius_mm[-1] == pytest.approx(1.0)


@pytest.mark.parametrize("seed", range(20))
def test_children_start_on_their_parents(seed: int, head: Head) -> None:
    tubes = draw_arteries(head.place, np.random.default_rng(seed))
    seen: set[str] = set()
    for name, tube in tubes.items():
        assert name == tube.name
        assert tube.parent in seen | {""}
        seen.add(name)
        if tube.parent:
            parent = tubes[tube.parent].centreline
            apart = np.linalg.norm(parent - tube.centreline[0], axis=1)
            assert apart.min() < STEP_MM
            # Without a branch in the middle the child goes on where the parent ends.
            if tube.name.startswith(("M1", "A1", "A2", "M2", "M3", "P3")):
                assert apart.argmin() >= len(parent) - 3
    assert {"ICA_R", "ICA_L", "M1_R", "M2S_L", "M2I_R", "A2_L", "BA", "P1_R", "P2_L"} <= seen
    roots = {name for name, tube in tubes.items() if not tube.parent}
    assert roots == {f"{name}{side}" for name in ("ICA", "VA") for side in SIDES}


def test_both_vertebral_arteries_end_where_the_basilar_begins(head: Head) -> None:
    tubes = draw_arteries(head.place, np.random.default_rng(0))
    for side in SIDES:
        np.testing.assert_allclose(tubes["VA" + side].centreline[-1], tubes["BA"].centreline[0])


def test_diameters_are_the_published_ones() -> None:
    drawn: dict[str, list[float]] = {name: [] for name in DIAMETERS}
    for seed in range(200):
        tubes = draw_arteries(identity, np.random.default_rng(seed))
        for name in DIAMETERS:
            tube = tubes.get(name + "_R") or tubes[name]
            drawn[name].append(2 * float(tube.radius_mm.mean()))
    for name, mean in DIAMETERS.items():
        assert np.median(drawn[name]) == pytest.approx(mean, rel=0.06)
    spread = np.std(drawn["M1"]) / np.mean(drawn["M1"])
    assert spread == pytest.approx(0.12, abs=0.03)


def test_same_seed_same_tree_other_seed_another(head: Head) -> None:
    first, again, other = (
        draw_arteries(head.place, np.random.default_rng(seed)) for seed in (7, 7, 8)
    )
    assert first.keys() == again.keys()
    for name, tube in first.items():
        np.testing.assert_array_equal(tube.centreline, again[name].centreline)
        np.testing.assert_array_equal(tube.radius_mm, again[name].radius_mm)
    assert np.abs(first["ICA_R"].centreline[0] - other["ICA_R"].centreline[0]).max() > 0.01


def test_variants_are_rare_but_there() -> None:
    counts: Counter[str] = Counter()
    trees = [draw_arteries(identity, np.random.default_rng(seed)) for seed in range(200)]
    for tubes in trees:
        counts["fetal"] += tubes["P2_R"].parent == "PCom_R"
        counts["middle trunk"] += "M2M_R" in tubes
        counts["no PCom"] += "PCom_L" not in tubes
        small, large = sorted(tubes[f"A1{side}"].radius_mm.mean() for side in SIDES)
        counts["small A1"] += small < 0.65 * large
    assert 3 <= counts["fetal"] <= 25
    assert 40 <= counts["middle trunk"] <= 80
    assert 40 <= counts["no PCom"] <= 80
    assert 4 <= counts["small A1"] <= 40


@pytest.mark.parametrize(("name", "most"), IN_FLUID.items())
def test_basal_arteries_run_through_cisterns(name: str, most: float) -> None:
    mni = load_mni()
    matter = mni.tissues["grey"] + mni.tissues["white"]
    (course,) = (course for course in ARTERIES if course.name == name)
    tube = make_tube(name, ras_to_lps(course.points), course.diameters_mm)
    inside = ndimage.map_coordinates(matter, mni.geometry.to_index(tube.centreline).T, order=1)
    assert inside.mean() < most


def test_carotid_bends_forwards_and_back_in_its_siphon() -> None:
    tubes = draw_arteries(identity, np.random.default_rng(1))
    line = tubes["ICA_R"].centreline
    x, y, z = (line * [-1, -1, 1]).T  # right, anterior, superior
    assert z[-1] - z[0] > 60
    assert x[0] > x[-1] + 10
    assert y.max() > y[-1] + 3
    assert y.max() > y[0] + 20


def test_right_is_right(head: Head, veins: list[Tube]) -> None:
    """The patient's right has small x in LPS."""
    tubes = [*draw_arteries(head.place, np.random.default_rng(0)).values(), *veins]
    means: dict[str, list[float]] = {"R": [], "L": []}
    for tube in tubes:
        if tube.name[-2:] in SIDES:
            means[tube.name[-1]].append(float(tube.centreline[:, 0].mean()))
    middle = float(head.place(np.zeros(3))[0])
    assert np.mean(np.array(means["R"]) < middle) > 0.9
    assert np.mean(np.array(means["L"]) > middle) > 0.9


def test_cortical_veins_lie_on_the_brain_and_drain_to_the_sinus(
    head: Head, veins: list[Tube]
) -> None:
    (sinus,) = (tube for tube in veins if tube.name == "SSS")
    cortical = [tube for tube in veins if tube.name.startswith("cortical")]
    assert 14 <= len(cortical) <= 36
    for tube in cortical:
        height = sample(head, "surface", tube.centreline)
        assert np.quantile(height, 0.05) > -1.0
        assert np.quantile(height, 0.95) < 4.0
        end = np.linalg.norm(sinus.centreline - tube.centreline[-1], axis=1).min()
        assert end < STEP_MM
        assert 10 < tube.length_mm < 220


def test_sinuses_lie_in_the_dura(head: Head, veins: list[Tube]) -> None:
    for tube in veins:
        if tube.name.startswith(("SSS", "transverse")):
            height = sample(head, "surface", tube.centreline)
            assert np.abs(height).max() < 8
            assert sample(head, "bone", tube.centreline).mean() < 0.5


def test_sinuses_are_connected(veins: list[Tube]) -> None:
    by_name = {tube.name: tube.centreline for tube in veins}
    for upstream, downstream in (
        ("SSS", "transverse_R"),
        ("straight", "transverse_L"),
        ("transverse_R", "sigmoid_R"),
        ("Galen", "straight"),
        ("ICV_L", "Galen"),
    ):
        ends = by_name[upstream][-1], by_name[downstream]
        assert np.linalg.norm(ends[1] - ends[0], axis=1).min() < STEP_MM


def test_medullary_veins_point_at_the_ventricles(head: Head, veins: list[Tube]) -> None:
    medullary = [tube for tube in veins if tube.name.startswith("medullary")]
    assert 18 <= len(medullary) <= 62
    middle = head.place(ras_to_lps((0, -5, 18)))
    inwards = 0
    for tube in medullary:
        begin, end = (np.linalg.norm(tube.centreline[k] - middle) for k in (0, -1))
        inwards += end < begin
        assert 5 < tube.length_mm < 40
    assert inwards > 0.9 * len(medullary)
    matter = np.concatenate([sample(head, "white", tube.centreline) for tube in medullary])
    assert matter.mean() > 0.6


def test_every_named_vein_is_seen_sometimes(head: Head) -> None:
    drawn = Counter(
        tube.name.split("_")[0]
        for seed in range(8)
        for tube in draw_veins(head, np.random.default_rng(seed), None)
    )
    assert {vein.name for vein in VEINS} <= drawn.keys()


def test_veins_of_a_congested_side_are_more_and_wider(head: Head) -> None:
    for side, low, high in (("L", 1.6, 10.0), (None, 0.7, 1.4)):
        ratios = []
        for seed in range(20):
            area: dict[str, float] = defaultdict(float)
            for tube in draw_veins(head, np.random.default_rng(seed), side):
                if tube.name.startswith(("cortical", "medullary")):
                    area[tube.name[-1]] += float((tube.radius_mm**2).sum())
            ratios.append(area["L"] / area["R"])
        assert low < np.median(ratios) < high


@pytest.mark.real_data
def test_distal_branches_end_in_their_territories(shared_data: Path) -> None:
    path = shared_data / "simulator" / "arteries" / "ArterialAtlas.nii.gz"
    if not path.is_file():
        pytest.skip("arterial territories: simulator/arteries/ArterialAtlas.nii.gz is not there")
    labels = np.asarray(nib.load(path).dataobj)
    territories = {"MCA": range(5, 17), "ACA": range(1, 5), "PCA": range(17, 25)}
    ends = {"M2": "MCA", "M3": "MCA", "A3": "ACA", "P3": "PCA"}
    for course in ARTERIES:
        territory = ends.get(course.name[:2])
        if territory is None:
            continue
        # The atlas's header is wrong: its voxels are those of the 1 mm MNI grid, right to left.
        x, y, z = course.points[-1]
        near = np.rint((90 - x, 126 + y, 72 + z)).astype(int)
        window = labels[tuple(slice(k - 6, k + 7) for k in near)]
        found = Counter(window[window > 0].tolist())
        own = sum(count for label, count in found.items() if label in territories[territory])
        assert own > 0.5 * sum(found.values()), course.name
        right = sum(count for label, count in found.items() if label % 2 == 0)
        assert right > 0.5 * sum(found.values()), course.name
