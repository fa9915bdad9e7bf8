"""Every role on the reference grid: resampled, or registered and said so."""

import numpy as np
import pytest
import SimpleITK as sitk

from service.domain.errors import InputError
from service.domain.geometry import Geometry
from service.domain.sequence import Role
from service.domain.volume import Volume
from service.stages.align_volumes import align_volumes
from service.stages.resample import resample_linear


def head(frame: str = "1.2.3") -> Volume:
    """An asymmetric head of smooth shapes, 2.5 mm voxels."""
    grid = Geometry.from_components(
        origin=(-90, -100, -70),
        axes=np.eye(3)[::-1],
        spacing=(2.5, 2.5, 2.5),
        shape=(56, 80, 72),
        frame_of_reference_uid=frame,
    )
    z, y, x = (
        grid.to_lps(np.moveaxis(np.indices(grid.shape), 0, -1))[..., axis] for axis in (2, 1, 0)
    )
    voxels = 100.0 * ((x / 65) ** 2 + (y / 80) ** 2 + (z / 60) ** 2 < 1)
    for cx, cy, cz, radius, value in [
        (-30, 20, 10, 15, 80),
        (25, -35, 20, 12, -60),
        (10, 40, -25, 18, 50),
        (-15, -45, -10, 10, -40),
    ]:
        voxels += value * ((x - cx) ** 2 + (y - cy) ** 2 + (z - cz) ** 2 < radius**2)
    return Volume(voxels.astype(np.float32), grid)


def moved(source: Volume, transform: sitk.Euler3DTransform, frame: str) -> Volume:
    grid = Geometry.from_components(
        origin=source.geometry.origin,
        axes=source.geometry.axes,
        spacing=(5.0, 2.5, 2.5),
        shape=(28, 80, 72),
        frame_of_reference_uid=frame,
    )
    return resample_linear(source, grid, outside=0.0, transform=transform)


def test_same_frame_is_resampled_without_registration() -> None:
    reference = head()
    other = moved(reference, sitk.Euler3DTransform(), "1.2.3")
    outcome = align_volumes({Role.DWI: other, Role.SUSC: reference})

    assert outcome.reference_role is Role.SUSC
    assert outcome.volumes[Role.DWI].geometry.same_grid(reference.geometry)
    assert [entry.method for entry in outcome.registrations] == ["identity"]
    assert np.array_equal(outcome.volumes[Role.SUSC].voxels, reference.voxels)


def test_beyond_the_field_of_view_is_nan_not_a_guess() -> None:
    reference = head()
    slab = Volume(
        reference.voxels[20:30],
        Geometry.from_components(
            origin=reference.geometry.to_lps([20, 0, 0]),
            axes=reference.geometry.axes,
            spacing=reference.geometry.spacing,
            shape=(10, 80, 72),
            frame_of_reference_uid="1.2.3",
        ),
    )
    aligned = align_volumes({Role.SUSC: reference, Role.TOF: slab}).volumes[Role.TOF].voxels
    assert np.isnan(aligned[:19]).all()
    assert np.isnan(aligned[31:]).all()
    assert aligned[20:30] == pytest.approx(reference.voxels[20:30], abs=1e-3)


def test_another_frame_of_reference_is_registered_and_reported() -> None:
    reference = head()
    truth = sitk.Euler3DTransform()
    truth.SetRotation(0.05, -0.04, 0.08)
    truth.SetTranslation((6.0, -4.0, 5.0))
    other = moved(reference, truth, "9.9.9")
    adc = Volume(other.voxels * 3, other.geometry)

    outcome = align_volumes({Role.SUSC: reference, Role.DWI: other, Role.ADC: adc})

    by_role = {entry.role: entry for entry in outcome.registrations}
    assert by_role[Role.DWI].method == by_role[Role.ADC].method == "rigid"
    assert by_role[Role.DWI].rotation_deg == by_role[Role.ADC].rotation_deg
    back = outcome.volumes[Role.DWI].voxels
    covered = np.isfinite(back) & (reference.voxels > 0)
    difference = np.abs(back[covered] - reference.voxels[covered])
    unregistered = resample_linear(other, reference.geometry).voxels[covered]
    assert difference.mean() < 0.35 * np.abs(unregistered - reference.voxels[covered]).mean()


def test_registration_is_the_same_every_time() -> None:
    reference = head()
    truth = sitk.Euler3DTransform()
    truth.SetTranslation((6.0, -4.0, 5.0))
    other = moved(reference, truth, "9.9.9")
    first, second = (
        align_volumes({Role.SUSC: reference, Role.DWI: other}).registrations for _ in range(2)
    )
    assert first == second


def test_phase_alone_in_its_frame_is_dropped_and_named() -> None:
    reference = head()
    phase = Volume(reference.voxels, head("5.5").geometry)
    outcome = align_volumes({Role.SUSC: reference, Role.PHASE: phase})
    assert outcome.dropped == (Role.PHASE,)
    assert Role.PHASE not in outcome.volumes


@pytest.mark.parametrize("kind", ["far away", "empty"])
def test_what_cannot_be_registered_is_dropped_and_named(kind: str) -> None:
    reference = head()
    grid = head("9.9.9").geometry
    shift = np.eye(4)
    shift[:3, 3] = 2000 if kind == "far away" else 0
    elsewhere = Geometry(shift @ grid.affine, grid.shape, grid.frame_of_reference_uid)
    voxels = reference.voxels if kind == "far away" else np.zeros_like(reference.voxels)
    outcome = align_volumes({Role.SUSC: reference, Role.FLAIR: Volume(voxels, elsewhere)})
    if kind == "far away":
        assert [entry.method for entry in outcome.registrations] == ["rigid"]
        covered = outcome.volumes[Role.FLAIR].voxels
        assert np.nanmedian(np.abs(covered - reference.voxels)) < 2
    else:
        assert outcome.dropped == (Role.FLAIR,)


def test_neither_susceptibility_nor_diffusion_is_an_error() -> None:
    with pytest.raises(InputError, match="FLAIR"):
        align_volumes({Role.FLAIR: head()})
