"""Whole simulated cases: reproducible, labelled, and of the shape the sites promise."""

import json
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from service.domain.sequence import Role
from training.simulate.case import Case
from training.simulate.diffusion import render_diffusion
from training.simulate.examination import Examination, draw_examination
from training.simulate.examine import (
    DeviceError,
    HeadError,
    Options,
    check,
    choose_device,
    find_heads,
    simulate_case,
)
from training.simulate.labels import Jitter, microbleed_mask
from training.simulate.mimics import Source
from training.simulate.painting import ball
from training.simulate.patient import Patient, brain_box, draw_patient
from training.simulate.scene import clot_maps, healthy_spins, with_clot
from training.simulate.site import OptionError, Site, load_sites
from training.simulate.susceptibility import SusceptibilityImages, render_susceptibility

SEED = 11


@pytest.fixture(scope="module")
def sites() -> dict[str, Site]:
    return dict(load_sites().sites)


@pytest.fixture(scope="module")
def patient() -> Iterator[Patient]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield draw_patient(SEED, find_heads(Options()), with_clot=True)
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def thick(sites: dict[str, Site]) -> Case:
    """A case of the 2D T2* site, the cheapest one."""
    return simulate_case(SEED, sites["D"], Options(with_clot=True, complete=True))


def _exam(patient: Patient, site: Site, *, complete: bool = True) -> Examination:
    return draw_examination(patient, site, complete=complete, device=torch.device("cpu"))


def test_one_seed_gives_the_same_bits(thick: Case, sites: dict[str, Site]) -> None:
    again = simulate_case(SEED, sites["D"], Options(with_clot=True, complete=True))
    assert again.parameters == thick.parameters
    for role, volume in thick.volumes.items():
        np.testing.assert_array_equal(again.volumes[role].voxels, volume.voxels)
        np.testing.assert_array_equal(again.volumes[role].geometry.affine, volume.geometry.affine)
    np.testing.assert_array_equal(again.svs.voxels, thick.svs.voxels)


def test_a_complete_case_has_every_sequence_and_both_labels(thick: Case) -> None:
    assert set(thick.volumes) == set(Role) == set(thick.scans)
    assert thick.b0 is not None
    assert thick.b0.geometry.same_grid(thick.volumes[Role.DWI].geometry)
    assert thick.lumen.voxels.any()
    assert thick.target.voxels.any()
    for volume in (thick.lumen, thick.svs, thick.microbleeds, thick.volumes[Role.PHASE]):
        assert volume.geometry.same_grid(thick.volumes[Role.SUSC].geometry)


def test_microbleeds_are_labelled_where_the_patient_has_them(
    patient: Patient, sites: dict[str, Site]
) -> None:
    exam = _exam(patient, sites["B"])
    grid = exam.grid(Role.SUSC)
    centre = np.mean(brain_box(patient.head), axis=0)
    bleed = Source("microbleed", "brain", ball("microbleed", centre, 2.0), 0.5)
    labelled = np.argwhere(microbleed_mask([bleed], grid))
    where = exam.in_patient_frame(grid.geometry).to_lps(labelled.mean(axis=0))
    np.testing.assert_allclose(where, exam.turn @ centre, atol=0.5)


def test_every_sequence_covers_the_clot_and_is_finite(thick: Case) -> None:
    centre = thick.lumen.geometry.to_lps(np.argwhere(thick.lumen.voxels).mean(axis=0))
    for volume in thick.volumes.values():
        assert volume.voxels.dtype == np.float32
        assert np.isfinite(volume.voxels).all()
        index = volume.geometry.to_index(centre)
        assert (index > -1).all()
        assert (index < np.array(volume.geometry.shape)).all()
    assert np.abs(thick.volumes[Role.PHASE].voxels).max() <= np.pi + 1e-5


def test_voxels_are_those_of_the_scan(thick: Case) -> None:
    for role, volume in thick.volumes.items():
        scan = thick.scans[role]
        np.testing.assert_allclose(volume.geometry.spacing, scan.voxel_mm, atol=1e-9)
    slices = thick.volumes[Role.SUSC].geometry
    assert slices.spacing[0] == pytest.approx(
        thick.scans[Role.SUSC].thickness_mm + thick.scans[Role.SUSC].gap_mm
    )


def test_parameters_are_json_and_hold_what_was_drawn(thick: Case) -> None:
    document = json.loads(json.dumps(thick.parameters))
    assert document["seed"] == SEED
    assert document["with_clot"] is True
    assert "Simulated" in document["notice"]
    clot = document["patient"]["clot"]
    assert clot["pieces"][0]["mean_ppm"] > 0
    assert len(clot["pieces"][0]["texture"]["phases"]) > 4
    assert {tube["name"] for tube in document["patient"]["arteries"]} >= {"M1_R", "M1_L", "BA"}
    assert document["examination"]["scans"]["DWI"]["b_value"] >= 800
    assert set(document["sequences"]) >= {"susceptibility", "diffusion", "flair", "angiography"}
    assert document["sequences"]["susceptibility"]["inflow"].keys() == {
        tube["name"] for tube in document["patient"]["arteries"]
    }
    assert document["svs_mm3"] == pytest.approx(
        thick.svs.voxels.sum() * thick.svs.geometry.voxel_volume, abs=1e-3
    )


def test_diffusion_is_restricted_in_the_infarct(patient: Patient, sites: dict[str, Site]) -> None:
    exam = _exam(patient, sites["B"])
    images = render_diffusion(exam)
    head, grid = patient.head, images.grid.geometry

    def sampled(voxels: np.ndarray) -> np.ndarray:
        source = torch.from_numpy(np.ascontiguousarray(voxels))
        return np.asarray(exam.poses[Role.DWI].sample(source, head.geometry, grid).numpy())

    dead = sampled(patient.infarct.fraction)
    brain = sampled(head.tissues["grey"] + head.tissues["white"]) > 0.97
    core, healthy = dead > 0.8, brain & (dead < 0.01)
    assert core.sum() > 20
    adc, trace = images.adc.numpy(), images.trace.numpy()
    # Grey and white matter: 0.83 to 0.91 um2/ms.
    assert 800 < np.median(adc[healthy]) < 950
    assert 0.6 < np.median(adc[core]) / np.median(adc[healthy]) < 0.93
    assert np.median(trace[core]) > 1.05 * np.median(trace[healthy])


def test_thrombus_takes_the_place_of_standing_blood(
    patient: Patient, sites: dict[str, Site]
) -> None:
    exam = _exam(patient, sites["D"])
    grid = exam.grid(Role.SUSC)
    fields = []
    for stagnant_ppm in (0.0, 0.1):
        other = replace(exam, patient=replace(patient, stagnant_ppm=stagnant_ppm))
        maps = clot_maps(other, grid)
        assert maps is not None
        before = healthy_spins(other, grid).part(maps.box)
        after = with_clot(other, grid, before, maps)
        # Deep inside the thrombus, but for its far end, behind which blood stands.
        inside = maps.share > 0.99
        fields.append(after.field_ppm.numpy()[inside] - before.field_ppm.numpy()[inside])
        assert maps.replaced_ppm[inside].mean() == pytest.approx(stagnant_ppm, abs=0.005)
    # What the thrombus adds is less by the field of the blood it replaces.
    assert patient.clot is not None
    ppm = patient.clot.pieces[0].mean_ppm
    factor = (ppm - 0.1) / ppm
    np.testing.assert_allclose(fields[1].mean(), factor * fields[0].mean(), rtol=0.15)


def test_jitter_changes_what_is_drawn_and_not_the_truth(sites: dict[str, Site]) -> None:
    only_t2star = replace(
        sites["D"], missing=dict.fromkeys((Role.DWI, Role.ADC, Role.FLAIR, Role.TOF), 1.0)
    )
    case, drawn = (
        simulate_case(SEED, only_t2star, Options(with_clot=True, jitter=jitter))
        for jitter in (False, True)
    )
    np.testing.assert_array_equal(drawn.lumen.voxels, case.lumen.voxels)
    annotator = drawn.parameters["sequences"]["annotator"]
    assert set(annotator) == {"grow", "first", "last"}
    assert case.parameters["sequences"]["annotator"] is None
    expected = Jitter(**annotator).apply(case.svs.voxels)
    np.testing.assert_array_equal(drawn.svs.voxels, expected)


def test_fluid_is_dark_on_flair_and_bright_on_b0(patient: Patient, thick: Case) -> None:
    assert thick.b0 is not None
    place = patient.head.place
    # Both frontal horns, MNI; blurred by slices of several millimetres.
    horns = np.stack([place(np.array([x, -20.0, 12.0])) for x in (-9.0, 9.0)])
    turn = np.array(thick.parameters["examination"]["turn"])
    points = horns @ turn.T
    for volume, brighter in ((thick.volumes[Role.FLAIR], False), (thick.b0, True)):
        index = np.rint(volume.geometry.to_index(points)).astype(int)
        values = [volume.voxels[i[0], i[1] - 2 : i[1] + 3, i[2] - 2 : i[2] + 3] for i in index]
        typical = np.median(volume.voxels[volume.voxels > 0.3 * np.percentile(volume.voxels, 99)])
        fluid = max(np.max(v) for v in values) if brighter else min(np.min(v) for v in values)
        assert (fluid > 1.3 * typical) if brighter else (fluid < 0.6 * typical)


def test_case_without_a_clot_has_empty_labels(sites: dict[str, Site]) -> None:
    only_t2star = replace(
        sites["D"], missing=dict.fromkeys((Role.DWI, Role.ADC, Role.FLAIR, Role.TOF), 1.0)
    )
    case = simulate_case(12, only_t2star, Options(with_clot=False))
    assert set(case.volumes) <= {Role.SUSC, Role.PHASE}
    assert case.b0 is None
    assert case.parameters["with_clot"] is False
    assert not case.lumen.voxels.any()
    assert not case.svs.voxels.any()
    assert not case.target.voxels.any()
    assert not case.visible


def test_the_same_seed_at_another_site_is_the_same_patient(
    patient: Patient, sites: dict[str, Site]
) -> None:
    exams = [_exam(patient, sites[name]) for name in ("A", "B")]
    assert exams[0].scans[Role.SUSC] != exams[1].scans[Role.SUSC]
    assert exams[0].patient is exams[1].patient
    again = draw_patient(SEED, find_heads(Options()), with_clot=True)
    assert again.clot is not None
    assert patient.clot is not None
    np.testing.assert_array_equal(
        again.clot.pieces[0].tube.centreline, patient.clot.pieces[0].tube.centreline
    )


def test_missingness_is_the_sites(patient: Patient, sites: dict[str, Site]) -> None:
    always: dict[Role, float] = {role: 1.0 for role in Role if role is not Role.DWI}
    lacking = _exam(patient, replace(sites["B"], missing=always), complete=False)
    assert lacking.missing == lacking.lacking == frozenset(always)
    complete = _exam(patient, replace(sites["B"], missing=always))
    assert complete.missing == frozenset()
    assert complete.lacking == frozenset(always)
    # One of magnitude and diffusion is always there, and there is no phase without magnitude.
    neither = _exam(patient, replace(sites["B"], missing={Role.SUSC: 1, Role.DWI: 1}))
    assert neither.lacking == {Role.SUSC, Role.PHASE}


def test_slices_lie_oblique_to_the_main_field_in_most_examinations(
    patient: Patient, sites: dict[str, Site]
) -> None:
    turns = [
        draw_examination(
            replace(patient, seed=seed), sites["B"], complete=True, device=torch.device("cpu")
        )
        for seed in range(12)
    ]
    straight = sum(np.allclose(exam.turn, np.eye(3)) for exam in turns)
    assert 0 < straight < 12
    for exam in turns:
        assert np.linalg.norm(exam.b0_direction) == pytest.approx(1)
        # The scanner's z axis is the field: turning the frame back must give it.
        z, y, x = exam.b0_direction
        np.testing.assert_allclose(exam.turn @ [x, y, z], [0, 0, 1], atol=1e-12)


@pytest.fixture(scope="module")
def swi(patient: Patient, sites: dict[str, Site]) -> tuple[Examination, SusceptibilityImages]:
    exam = _exam(patient, sites["B"])
    return exam, render_susceptibility(exam)


def test_object_is_half_a_millimetre_fine(
    swi: tuple[Examination, SusceptibilityImages],
) -> None:
    assert max(swi[1].grid.fine.spacing) <= 0.5 + 1e-9


def test_visible_label_is_dark_and_touches_the_lumen(
    swi: tuple[Examination, SusceptibilityImages],
) -> None:
    _, images = swi
    magnitude = images.magnitude.numpy()
    assert images.lumen.any()
    assert images.svs.any()
    assert (images.svs & images.lumen).any()
    brain = np.median(magnitude[magnitude > 0.3 * magnitude.max()])
    assert np.median(magnitude[images.svs]) < 0.6 * brain


def test_lumen_has_the_volume_of_the_clot(
    swi: tuple[Examination, SusceptibilityImages], patient: Patient
) -> None:
    _, images = swi
    assert patient.clot is not None
    true = sum(np.pi * (p.tube.radius_mm**2).mean() * p.tube.length_mm for p in patient.clot.pieces)
    found = images.lumen.sum() * images.grid.geometry.voxel_volume
    assert found == pytest.approx(true, rel=0.3)


def test_clot_has_texture(patient: Patient, swi: tuple[Examination, SusceptibilityImages]) -> None:
    exam, images = swi
    maps = clot_maps(exam, images.grid)
    assert maps is not None
    inside = maps.ppm[maps.share > 0.9]
    assert patient.clot is not None
    piece = patient.clot.pieces[0]
    assert inside.std() / inside.mean() > 0.08
    if piece.layer_factor == 1:
        assert inside.mean() == pytest.approx(piece.mean_ppm, rel=0.25)


def test_unknown_heads_and_devices_are_refused() -> None:
    with pytest.raises(HeadError, match="nobody"):
        find_heads(Options(heads=("nobody",)))
    if not torch.cuda.is_available():
        with pytest.raises(DeviceError, match="--device cpu"):
            choose_device("cuda")
    assert choose_device("cpu").type == "cpu"


@pytest.mark.parametrize("variety", [0.5, 1.6])
def test_heads_no_patient_could_have_are_refused(variety: float) -> None:
    with pytest.raises(OptionError, match=f"variety must be 1 to 1.5, got {variety}"):
        check(Options(variety=variety))
