"""Whole simulated cases: reproducible, labelled, and of the shape the sites promise."""

import numpy as np
import pytest

from service.domain.sequence import Role
from training.simulate.anatomy import draw_warp, load_template
from training.simulate.case import Case, simulate_case
from training.simulate.clot import SITES, draw_clot
from training.simulate.vessels import draw_arteries


@pytest.fixture(scope="module")
def thick() -> Case:
    """A case of the 2D T2* site, the cheapest one."""
    return simulate_case(11, "D", with_clot=True)


def test_one_seed_gives_the_same_bits(thick: Case) -> None:
    again = simulate_case(11, "D", with_clot=True)
    assert again.parameters == thick.parameters
    for role, volume in thick.volumes.items():
        np.testing.assert_array_equal(again.volumes[role].voxels, volume.voxels)
        np.testing.assert_array_equal(again.volumes[role].geometry.affine, volume.geometry.affine)
    np.testing.assert_array_equal(again.target.voxels, thick.target.voxels)


def test_case_has_a_label_and_no_phase_at_the_old_site(thick: Case) -> None:
    assert set(thick.volumes) == set(Role) - {Role.PHASE}
    assert thick.lumen.voxels.any()
    assert thick.target.voxels.any()
    assert thick.target.geometry.same_grid(thick.volumes[Role.SUSC].geometry)


def test_every_sequence_covers_the_clot_and_is_finite(thick: Case) -> None:
    centre = thick.lumen.geometry.to_lps(np.argwhere(thick.lumen.voxels).mean(axis=0))
    for volume in thick.volumes.values():
        assert np.isfinite(volume.voxels).all()
        index = volume.geometry.to_index(centre)
        assert (index > -1).all()
        assert (index < np.array(volume.geometry.shape)).all()


def test_case_without_a_clot_has_empty_labels() -> None:
    case = simulate_case(12, "D", with_clot=False)
    assert case.parameters["with_clot"] is False
    assert not case.lumen.voxels.any()
    assert not case.svs.voxels.any()
    assert not case.target.voxels.any()


def test_clots_follow_the_table_of_sites() -> None:
    rng = np.random.default_rng(0)
    warp = draw_warp(rng)
    sites, fragments = [], 0
    for _ in range(400):
        clot = draw_clot(draw_arteries(warp, rng), rng)
        sites.append(clot.site)
        fragments += len(clot.pieces) > 1
        main = clot.pieces[0]
        assert 0.5 <= main.tube.length_mm <= 45.5
        assert (main.susceptibility_ppm > 0).all()
        assert clot.without_flow
    for site, (share, _, _) in SITES.items():
        assert sites.count(site) / 400 == pytest.approx(share, abs=0.08)
    assert 0.02 < fragments / 400 < 0.12


def test_template_is_symmetric_about_the_midline() -> None:
    template = load_template()
    left = template.geometry.to_index([-26.0, -4.0, 1.0]).astype(int)
    right = template.geometry.to_index([26.0, -4.0, 1.0]).astype(int)
    assert template.iron_ppm[tuple(left)] == pytest.approx(0.04)
    assert template.iron_ppm[tuple(right)] == pytest.approx(0.04)


def test_warp_goes_there_and_back() -> None:
    warp = draw_warp(np.random.default_rng(3))
    points = np.random.default_rng(0).uniform(-80, 80, (50, 3))
    np.testing.assert_allclose(warp.to_template(warp.to_patient(points)), points, atol=1e-3)
