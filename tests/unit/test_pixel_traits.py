"""What voxels say about their sequence: nothing false, and nothing at all about noise."""

import csv
import zipfile
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

import nibabel
import numpy as np
import numpy.typing as npt
import pytest
from pydicom import dcmread

from service.adapters.study_files import StudyFolder
from service.domain.errors import GeometryError, NoMagneticResonanceError
from service.domain.geometry import Geometry
from service.domain.sequence import SequenceLabel
from service.domain.volume import Volume
from service.stages.assemble_volume import assemble_volume
from service.stages.detect_sequences import detect_sequences
from service.stages.pixel_traits import echo_decay, pixel_traits
from service.stages.volume_traits import Trait

DEMO = Path(__file__).resolve().parents[2] / "examples" / "demo-study.zip"
AXIAL, SAGITTAL = (2, 1, 0), (0, 2, 1)
Array = npt.NDArray[Any]


def volume(
    voxels: Array, spacing: tuple[float, float, float] = (2, 2, 2), axes: Array | None = None
) -> Volume:
    """Voxels (slice, row, column) of axial slices from foot to head unless axes say otherwise."""
    rows = np.eye(3)[list(AXIAL)] if axes is None else axes
    grid = Geometry.from_components(
        origin=(0, 0, 0), axes=rows, spacing=spacing, shape=voxels.shape
    )
    return Volume(voxels.astype(np.float32), grid)


def coordinates(shape: tuple[int, int, int], mm: float) -> list[Array]:
    """Distances from the middle, (up, back, left) in mm."""
    return [(axis - (n - 1) / 2) * mm for axis, n in zip(np.indices(shape), shape, strict=True)]


def ellipsoid(at: list[Array], centre: tuple[float, ...], radii: tuple[float, ...]) -> Array:
    parts = zip(at, centre, radii, strict=True)
    return np.sum([((x - c) / r) ** 2 for x, c, r in parts], axis=0) < 1


def head_with_ventricles(fluid: float, *, tissue: float = 300.0, noise: float = 8.0) -> Array:
    """A head (up, back, left) of 2 mm voxels; ventricles of ``fluid`` times its tissue."""
    at = coordinates((90, 110, 90), 2.0)
    image = tissue * ellipsoid(at, (0, 0, 0), (80, 90, 70))
    for side in (-13, 13):
        image[ellipsoid(at, (12, 0, side), (13, 30, 8))] = fluid * tissue
    rng = np.random.default_rng(1)
    return np.hypot(image + rng.normal(0, noise, image.shape), rng.normal(0, noise, image.shape))


def turned(head: Array, order: tuple[int, int, int], flips: tuple[int, ...]) -> Volume:
    """The same head in a volume whose (slice, row, column) run along these axes of LPS."""
    body_axis_of_lps = {2: 0, 1: 1, 0: 2}
    axes = np.eye(3)[list(order)] * np.array(flips)[:, None]
    voxels = head.transpose([body_axis_of_lps[lps] for lps in order])
    return volume(voxels[tuple(slice(None, None, flip) for flip in flips)], axes=axes)


@pytest.mark.parametrize(
    ("fluid", "expected"),
    [(2.2, "BRIGHT"), (3.5, "BRIGHT"), (0.2, "DARK"), (0.3, "DARK"), (1.2, None), (0.7, None)],
)
def test_fluid(fluid: float, expected: str | None) -> None:
    assert pixel_traits(volume(head_with_ventricles(fluid))).get("PixelFluid") == expected


@pytest.mark.parametrize("flips", [(1, 1, 1), (-1, 1, 1), (1, -1, 1), (-1, -1, -1)])
@pytest.mark.parametrize("order", [AXIAL, SAGITTAL, (1, 2, 0)])
def test_fluid_is_found_whatever_the_orientation(
    order: tuple[int, int, int], flips: tuple[int, ...]
) -> None:
    assert pixel_traits(turned(head_with_ventricles(0.2), order, flips))["PixelFluid"] == "DARK"


def test_without_the_top_of_the_head_nothing_is_said_of_fluid() -> None:
    head = head_with_ventricles(2.5)
    assert "PixelFluid" not in pixel_traits(volume(head[:60]))
    assert "PixelFluid" in pixel_traits(volume(head))


def test_an_infarct_is_no_fluid() -> None:
    head = head_with_ventricles(0.6)
    at = coordinates(head.shape, 2.0)
    head[ellipsoid(at, (10, 0, 25), (25, 35, 25))] = 800.0
    assert "PixelFluid" not in pixel_traits(volume(head))


@pytest.mark.parametrize(
    ("stored", "unit"),
    [(800.0, "1e-6"), (80.0, "1e-5"), (8.0, "1e-4"), (0.8, "1e-3"), (0.45, "NONE"), (2.0, "NONE")],
)
@pytest.mark.parametrize("noisy_air", [False, True])
def test_unit_of_adc(stored: float, unit: str, noisy_air: bool) -> None:
    head = head_with_ventricles(3.5, tissue=stored, noise=0.05 * stored)
    air = head < 0.5 * stored
    random = np.random.default_rng(2).uniform(0, 4 * stored, head.shape)
    head[air] = random[air] if noisy_air else 0.0
    assert pixel_traits(volume(head))["PixelAdcUnit"] == unit


def phase(kind: str) -> Array:
    """Angles of a head in air of noise, in radians from -pi to pi."""
    at = coordinates((20, 128, 128), 2.0)
    head = ellipsoid(at, (0, 0, 0), (1000, 90, 70))
    rng = np.random.default_rng(3)
    angle = {
        "filtered": 0.1 * np.sin(at[1] / 3),
        "raw": 1.5 + (at[1] / 25) ** 2 + at[2] / 30,
        "offset": np.full(head.shape, -2.8),
    }[kind] + rng.normal(0, 0.1, head.shape)
    wrapped = (angle + np.pi) % (2 * np.pi) - np.pi
    return np.where(head, wrapped, rng.uniform(-np.pi, np.pi, head.shape))


@pytest.mark.parametrize("kind", ["filtered", "raw", "offset"])
@pytest.mark.parametrize("scale", [1.0, 1000.0, 4096 / np.pi])
def test_phase(kind: str, scale: float) -> None:
    traits = pixel_traits(volume(scale * phase(kind)))
    assert traits["PixelPhaseLike"] == "YES"
    assert traits.keys() == {"PixelStructure", "PixelPhaseLike"}


@pytest.mark.parametrize("kind", ["filtered", "raw"])
def test_phase_stored_without_a_sign(kind: str) -> None:
    stored = np.round((phase(kind) / np.pi + 1) * 2047.5)
    assert pixel_traits(volume(stored))["PixelPhaseLike"] == "YES"


@pytest.mark.parametrize("kind", ["filtered", "raw"])
def test_masked_phase_is_never_called_a_magnitude(kind: str) -> None:
    air = ~ellipsoid(coordinates((20, 128, 128), 2.0), (0, 0, 0), (1000, 90, 70))
    stored = np.round((phase(kind) / np.pi + 1) * 2047.5)
    assert pixel_traits(volume(np.where(air, 0, stored))).get("PixelPhaseLike") != "NO"


def test_magnitude_is_not_like_phase() -> None:
    for fluid in (0.4, 1.0, 3.0):
        assert pixel_traits(volume(head_with_ventricles(fluid)))["PixelPhaseLike"] == "NO"


def test_uniform_noise_around_a_head_alone_is_no_phase() -> None:
    """An MP2RAGE uniform image has the same air as phase."""
    at = coordinates((20, 128, 128), 2.0)
    rng = np.random.default_rng(4)
    brain = np.where(np.sin(at[1] / 6) * np.sin(at[2] / 5) > 0, 3400, 2300)
    brain[ellipsoid(at, (0, 0, 0), (1000, 30, 12))] = 400
    head = ellipsoid(at, (0, 0, 0), (1000, 90, 70))
    image = np.where(head, brain + rng.normal(0, 60, head.shape), rng.uniform(0, 4095, head.shape))
    assert "PixelPhaseLike" not in pixel_traits(volume(image))


def test_a_difference_is_neither_phase_nor_magnitude() -> None:
    head = head_with_ventricles(0.5) * np.random.default_rng(5).normal(0, 1, (90, 110, 90))
    blurred = (head[:, 1:, 1:] + head[:, :-1, 1:] + head[:, 1:, :-1] + head[:, :-1, :-1]) / 4
    assert pixel_traits(volume(blurred)).keys() == {"PixelStructure"}


def slab_with_vessels(radius: float, *, coiled: bool = True) -> Array:
    """A slab (up, back, left) of 1 mm voxels with two bright arteries, or two bright balls."""
    at = coordinates((60, 220, 180), 1.0)
    rng = np.random.default_rng(6)
    image = 200.0 * ellipsoid(at, (0, 0, 0), (1000, 95, 75)) + 10 * rng.random(at[0].shape)
    for side in (-20, 20):
        if coiled:
            tube = np.hypot(at[1] - 10 * np.sin(at[0] / 10), at[2] - side) < radius
        else:
            tube = ellipsoid(at, (0, 0, side), (10, 10, 10))
        image[tube] = 600.0
    return image


def test_vessels() -> None:
    assert pixel_traits(volume(slab_with_vessels(1.6), (1, 1, 1)))["PixelVessels"] == "BRIGHT"


def test_other_bright_things_are_no_vessels() -> None:
    balls = slab_with_vessels(0, coiled=False)
    thick = slab_with_vessels(9.0)
    coarse = slab_with_vessels(1.6)[::3]
    for image, spacing in ((balls, (1, 1, 1)), (thick, (1, 1, 1)), (coarse, (3, 1, 1))):
        assert "PixelVessels" not in pixel_traits(volume(image, spacing))


@pytest.mark.parametrize("shape", [(1, 32, 32), (4, 64, 64), (30, 128, 128)])
@pytest.mark.parametrize("kind", ["uniform", "normal", "rayleigh", "signed"])
def test_noise_has_no_trait_but_its_lack_of_structure(
    shape: tuple[int, int, int], kind: str
) -> None:
    rng = np.random.default_rng(7)
    draw = {
        "uniform": rng.integers(0, 255, shape).astype(float),
        "normal": rng.normal(1000, 50, shape),
        "rayleigh": rng.rayleigh(20, shape),
        "signed": rng.uniform(-np.pi, np.pi, shape),
    }
    traits = pixel_traits(volume(draw[kind]))
    assert traits.keys() == {"PixelStructure"}
    assert isinstance(traits["PixelStructure"], float)
    assert traits["PixelStructure"] < 0.15


@pytest.mark.parametrize(
    "voxels",
    [
        np.zeros((10, 64, 64)),
        np.full((10, 64, 64), -7.0),
        np.full((10, 64, 64), np.nan),
        np.where(np.indices((10, 64, 64))[0] == 0, np.nan, 1.0),
        np.where(np.indices((10, 64, 64))[0] == 0, np.inf, 1.0),
        np.arange(10 * 16 * 16).reshape(10, 16, 16),
        np.ones((1, 1, 1)),
        np.where(np.indices((10, 64, 64))[0] == 0, 3e38, -3e38),
    ],
    ids=["zero", "constant", "nan", "one-nan", "infinite", "icon", "voxel", "huge"],
)
def test_no_image_has_no_trait(voxels: Array) -> None:
    assert pixel_traits(volume(voxels)) == {}
    assert echo_decay(volume(voxels), volume(voxels)) == {}


@pytest.mark.parametrize(
    "voxels",
    [
        np.indices((10, 64, 64))[1],
        -1.0 - np.indices((10, 64, 64))[1],
        np.indices((10, 64, 64))[1] % 2,
        (np.indices((10, 64, 64)) == 32).all(axis=0),
        np.indices((1, 32, 32))[2],
        np.pad(np.ones((4, 20, 20)), ((0, 0), (22, 22), (22, 22))),
    ],
    ids=["ramp", "negative", "stripes", "dot", "one-slice", "square"],
)
def test_odd_images_do_not_fail_and_are_no_head(voxels: Array) -> None:
    traits = pixel_traits(volume(voxels))
    assert not traits.keys() & {"PixelFluid", "PixelVessels"}
    assert traits.get("PixelPhaseLike") != "YES"


def test_echo_decay() -> None:
    first, last = head_with_ventricles(1.2), 0.6 * head_with_ventricles(1.2)
    assert echo_decay(volume(first), volume(last))["PixelEchoDecay"] == pytest.approx(0.6, rel=0.01)
    assert echo_decay(volume(first), volume(last[:-1])) == {}
    signed = phase("raw")
    assert echo_decay(volume(signed), volume(signed)) == {}
    noise = np.random.default_rng(8).random((10, 64, 64))
    assert echo_decay(volume(noise), volume(noise)) == {}


def test_a_clinical_volume_takes_little_time() -> None:
    head = np.repeat(np.repeat(head_with_ventricles(0.2)[:60], 2, axis=1), 2, axis=2)
    large = volume(np.pad(head, ((0, 0), (18, 18), (38, 38))), (2.0, 1.0, 1.0))
    assert large.geometry.shape == (60, 256, 256)
    started = perf_counter()
    pixel_traits(large)
    # A tenth of this on an idle machine.
    assert perf_counter() - started < 1.0


def traits_of_volumes(folder: Path) -> Iterator[tuple[str, SequenceLabel, dict[str, Trait]]]:
    """Series UID, label and traits of every volume below a folder that can be assembled."""
    study = StudyFolder.read(folder, max_slices=10_000)
    for found in detect_sequences(study.facts).volumes:
        series = found.volume.series.series_instance_uid
        try:
            voxels = assemble_volume(found.volume, study.datasets(series)).volume
        except GeometryError:
            continue
        yield series, found.classification.label, pixel_traits(voxels)


def test_simulated_study(tmp_path: Path) -> None:
    with zipfile.ZipFile(DEMO) as archive:
        archive.extractall(tmp_path)
    found = {label: traits for _, label, traits in traits_of_volumes(tmp_path)}
    phase_like = {label: traits.get("PixelPhaseLike") for label, traits in found.items()}
    assert phase_like.pop(SequenceLabel.PHASE) == "YES"
    # The brain's grey lies in the middle of this range, as in a phase image: nothing is said of it.
    assert phase_like.pop(SequenceLabel.SWI) is None
    assert set(phase_like.values()) == {"NO"}
    assert found[SequenceLabel.ADC]["PixelAdcUnit"] == "1e-6"
    vessels = {label for label, traits in found.items() if "PixelVessels" in traits}
    assert vessels == {SequenceLabel.TOF}
    # The slabs of this study do not reach the top of the head.
    assert not any("PixelFluid" in traits for traits in found.values())


# Series that hold phase or a phase difference.
REAL_PHASE = {"s09_gre_phase", "s04_phase", "s03_phase"}
REAL_BRIGHT_FLUID = {SequenceLabel.DWI_B0, SequenceLabel.ADC}


def false_traits(name: str, content: str, label: SequenceLabel, traits: dict[str, Trait]) -> bool:
    """Whether any trait of a real volume contradicts what the volume is known to be."""
    if content.startswith("real header"):
        return not traits.keys() <= {"PixelStructure"}
    wrong_phase = {"NO"} if name in REAL_PHASE else {"YES"}
    wrong_fluid = {"DARK"} if label in REAL_BRIGHT_FLUID else {"BRIGHT"}
    is_brain = content == "human brain"
    return (
        traits.get("PixelPhaseLike") in wrong_phase
        or "PixelVessels" in traits
        or ("PixelFluid" in traits and (not is_brain or traits["PixelFluid"] in wrong_fluid))
        or (label is SequenceLabel.ADC and traits.get("PixelAdcUnit") != "1e-6")
    )


@pytest.mark.real_data
def test_no_trait_of_a_real_series_is_false(shared_data: Path) -> None:
    with (shared_data / "labels.csv").open(encoding="utf-8") as table:
        rows = list(csv.DictReader(table))
    assert len(rows) == 54
    wrong, given = {}, set()
    for row in rows:
        folder = shared_data / row["path"]
        try:
            volumes = list(traits_of_volumes(folder))
        except NoMagneticResonanceError:
            continue
        for _, label, traits in volumes:
            given |= {(folder.name, value) for value in traits.values() if isinstance(value, str)}
            if false_traits(folder.name, row["content"], label, traits):
                wrong[folder.name] = traits
    assert not wrong
    assert {("s19_adc", "1e-6"), ("s19_adc", "BRIGHT"), ("s24_b0", "BRIGHT")} <= given
    assert {("s03_dwi_mosaic", "BRIGHT"), ("s12_dti", "BRIGHT"), ("s601_dti", "BRIGHT")} <= given
    assert {("s09_gre_phase", "YES"), ("s04_phase", "YES"), ("s20_tracew", "NO")} <= given


@pytest.mark.real_data
@pytest.mark.parametrize(("series", "expected"), [("s02_mag", "NO"), ("s03_phase", "YES")])
def test_single_slices_of_a_real_gradient_echo(
    shared_data: Path, series: str, expected: str
) -> None:
    files = sorted((shared_data / "dicom/siemens_prisma_phantom_gre_qsm" / series).iterdir())
    assert len(files) == 3
    slices = []
    for file in files:
        dataset = dcmread(file)
        slope, intercept = dataset.get("RescaleSlope", 1), dataset.get("RescaleIntercept", 0)
        slices.append(volume((dataset.pixel_array * float(slope) + float(intercept))[None]))
    assert {pixel_traits(each).get("PixelPhaseLike") for each in slices} == {expected}
    decay = echo_decay(slices[0], slices[-1]).get("PixelEchoDecay")
    assert decay == (pytest.approx(0.872, abs=0.01) if expected == "NO" else None)


# File, index of the echo, traits that it must have; None where there must be none.
REAL_IMAGES = [
    ("stroke_t2_tutorial/T2.nii.gz", 0, {"PixelFluid": "BRIGHT", "PixelPhaseLike": "NO"}),
    ("stroke_ads_subject01/Subject01_b0.nii.gz", 0, {"PixelFluid": "BRIGHT"}),
    ("stroke_ads_subject01/Subject01_DWI.nii.gz", 0, {"PixelFluid": None, "PixelPhaseLike": "NO"}),
    ("stroke_isles_case/sub-strokecase0001_ses-0001_dwi.nii.gz", 0, {"PixelFluid": None}),
    ("stroke_isles_case/sub-strokecase0001_ses-0001_adc.nii.gz", 0, {"PixelAdcUnit": "1e-3"}),
    ("gre_7t_romeo/Phase.nii", 1, {"PixelPhaseLike": "YES"}),
    ("gre_7t_romeo/Phase.nii", 2, {"PixelPhaseLike": "YES"}),
    ("gre_7t_romeo/Mag.nii", 0, {"PixelPhaseLike": None, "PixelFluid": None}),
]


def real_image(file: Path, echo: int) -> Volume:
    image = nibabel.as_closest_canonical(nibabel.load(file))
    voxels = np.asarray(image.dataobj)
    voxels = voxels[..., echo] if voxels.ndim == 4 else voxels
    column, row, slice_ = (float(mm) for mm in image.header.get_zooms()[:3])
    return volume(voxels.T, (slice_, row, column))


@pytest.mark.real_data
@pytest.mark.parametrize(("path", "echo", "expected"), REAL_IMAGES)
def test_real_images(
    shared_data: Path, path: str, echo: int, expected: dict[str, str | None]
) -> None:
    traits = pixel_traits(real_image(shared_data / "real" / path, echo))
    assert {name: traits.get(name) for name in expected} == expected
    assert "PixelVessels" not in traits


@pytest.mark.real_data
def test_decay_of_real_echoes(shared_data: Path) -> None:
    file = shared_data / "real" / "gre_7t_romeo" / "Mag.nii"
    decay = echo_decay(real_image(file, 0), real_image(file, 2))["PixelEchoDecay"]
    assert decay == pytest.approx(0.77, abs=0.02)
