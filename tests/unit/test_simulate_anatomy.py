"""Heads: of the atlas, of label maps, and bent into patients."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from nibabel.affines import apply_affine
from scipy import ndimage

from service.domain.errors import InputError
from training.simulate.anatomy import NUCLEI, Anatomy, load_mni
from training.simulate.grids import TISSUE_NAMES, ras_to_lps
from training.simulate.head import MOST_VARIETY, Head, Warp, bend, draw_warp
from training.simulate.label_maps import find_label_maps, load_label_map

STILL = Warp(np.eye(3), np.zeros((1, 3)), np.zeros((1, 3)), np.zeros(1))


def load_label_maps(folder: Path) -> tuple[Anatomy, ...]:
    """Every head of a folder."""
    return tuple(load_label_map(path) for path in find_label_maps(folder).values())


# A tenth of a millimetre along each axis, as a step of finite differences.
STEPS = 0.1 * np.eye(3)


@pytest.fixture(scope="module")
def mni() -> Anatomy:
    return load_mni()


@pytest.fixture(scope="module")
def head(mni: Anatomy) -> Head:
    return bend(mni, draw_warp(np.random.default_rng(5)))


def at(anatomy: Anatomy | Head, name: str, point: tuple[float, float, float]) -> float:
    """Return a tissue's fraction at a point in MNI mm (right, anterior, superior)."""
    place = anatomy.from_mni if isinstance(anatomy, Anatomy) else anatomy.place
    index = np.rint(anatomy.geometry.to_index(place(ras_to_lps(point)))).astype(int)
    return float(anatomy.tissues[name][tuple(index)])


@pytest.mark.parametrize("source", ["mni", "head"])
def test_fractions_sum_to_one_with_air(source: str, request: pytest.FixtureRequest) -> None:
    anatomy: Anatomy | Head = request.getfixturevalue(source)
    assert set(anatomy.tissues) == set(TISSUE_NAMES)
    total = sum(anatomy.tissues.values())
    assert isinstance(total, np.ndarray)
    assert total.dtype == np.float32
    assert total.max() < 1 + 1e-5
    assert min(voxels.min() for voxels in anatomy.tissues.values()) > -1e-5
    # Air is all around the head, but for the neck below.
    faces = (total[-1], total[:, 0], total[:, -1], total[:, :, 0], total[:, :, -1])
    assert max(face.max() for face in faces) < 1e-3


@pytest.mark.parametrize(
    ("tissue", "point"),
    [
        ("grey", (26, 4, 1)),  # putamen
        ("white", (26, 20, 25)),  # centrum semiovale
        ("fluid", (7, 10, 12)),  # lateral ventricle
        ("fluid", (0, -2, -21)),  # suprasellar cistern
        ("fluid", (0, -10, -34)),  # in front of the pons
        ("fluid", (33, 60, -43)),  # eye
        ("fat", (28, 35, -35)),  # orbit
        ("bone", (0, 8, -30)),  # planum of the sphenoid
        ("bone", (39, -23, -52)),  # petrous pyramid
        ("soft", (20, -62, -80)),  # nape
        ("white", (0, -45, -85)),  # spinal cord
    ],
)
def test_atlas_head_has_its_parts_in_place(
    tissue: str, point: tuple[float, float, float], mni: Anatomy
) -> None:
    assert at(mni, tissue, point) > 0.5
    mirrored = (-point[0], point[1], point[2])
    assert at(mni, tissue, mirrored) > 0.5


@pytest.mark.parametrize("point", [(6, 14, -41), (28, 50, -66), (11, 73, -25), (0, 14, -72)])
def test_air_spaces_hold_air(point: tuple[float, float, float], mni: Anatomy) -> None:
    assert sum(at(mni, tissue, point) for tissue in TISSUE_NAMES) < 0.2


def test_skull_lies_between_brain_and_scalp(mni: Anatomy) -> None:
    """From the vertex outwards: brain or fluid, bone, fat, skin, air."""
    column = [{t: at(mni, t, (20, -20, z)) for t in TISSUE_NAMES} for z in range(60, 104)]
    first = {
        name: next(k for k, row in enumerate(column) if row[name] > 0.5) for name in ("bone", "fat")
    }
    skin = max(k for k, row in enumerate(column) if row["soft"] > 0.5)
    assert column[0]["grey"] + column[0]["white"] + column[0]["fluid"] > 0.9
    assert 0 < first["bone"] < first["fat"] + 8 < skin + 8
    assert sum(column[-1].values()) < 1e-3


@pytest.mark.parametrize("name", NUCLEI)
def test_iron_lies_in_the_nuclei_of_both_sides(name: str, mni: Anatomy) -> None:
    centre, _, ppm = NUCLEI[name]
    for side in (1, -1):
        point = ras_to_lps(np.array(centre) * [side, 1, 1])
        index = np.rint(mni.geometry.to_index(point)).astype(int)
        assert mni.iron_ppm[tuple(index)] == pytest.approx(ppm)


def test_surface_is_a_signed_distance(mni: Anatomy) -> None:
    step = np.diff(mni.surface_mm, axis=0)
    assert np.abs(step).max() < 1.8
    matter = mni.tissues["grey"] + mni.tissues["white"]
    above = mni.geometry.origin[2] + np.arange(matter.shape[0]) > -60
    assert (mni.surface_mm[above][matter[above] > 0.9] < 1.5).mean() > 0.99


def test_warp_goes_there_and_back() -> None:
    warp = draw_warp(np.random.default_rng(3))
    points = np.random.default_rng(0).uniform(-80, 80, (50, 3))
    np.testing.assert_allclose(warp.to_anatomy(warp.to_patient(points)), points, atol=1e-3)


def test_most_varied_heads_are_more_varied_and_not_folded() -> None:
    points = np.random.default_rng(0).uniform(-80, 80, (300, 3))
    sizes: dict[float, list[float]] = {1.0: [], MOST_VARIETY: []}
    for variety, volumes in sizes.items():
        for seed in range(60):
            warp = draw_warp(np.random.default_rng(seed), variety)
            ahead = [warp.to_anatomy(points + step) - warp.to_anatomy(points) for step in STEPS]
            assert np.linalg.det(np.stack(ahead, axis=-1)).min() > 0
            assert np.abs(warp.to_anatomy(warp.to_patient(points)) - points).max() < 0.1
            volumes.append(float(np.log(np.linalg.det(warp.linear))))
    assert np.std(sizes[MOST_VARIETY]) == pytest.approx(MOST_VARIETY * np.std(sizes[1.0]), rel=0.1)


def test_unbent_head_is_the_anatomy(mni: Anatomy) -> None:
    still = bend(mni, STILL)
    shift = np.rint(mni.geometry.to_index(still.geometry.origin)).astype(int)
    assert (shift >= 0).any()
    point = (20, -20, 10)
    for tissue in TISSUE_NAMES:
        assert at(still, tissue, point) == pytest.approx(at(mni, tissue, point), abs=1e-3)


def test_bent_head_keeps_its_volume_and_its_place(mni: Anatomy, head: Head) -> None:
    warp = draw_warp(np.random.default_rng(5))
    scale = 1 / np.linalg.det(warp.linear)
    for tissue in ("grey", "white"):
        ratio = head.tissues[tissue].sum() / mni.tissues[tissue].sum()
        assert ratio == pytest.approx(scale, rel=0.05)
    assert at(head, "fluid", (0, -2, -21)) > 0.5
    assert at(head, "fluid", (33, 60, -43)) > 0.5
    assert at(head, "fluid", (-33, 60, -43)) > 0.5


def test_box_reaches_twenty_millimetres_below_the_brain(head: Head) -> None:
    inside = np.flatnonzero((head.surface_mm < 0).any(axis=(1, 2)))
    assert inside[0] == pytest.approx(20, abs=6)
    assert head.geometry.shape[0] > inside[-1] + 15


def test_same_warp_gives_the_same_bits_on_any_number_of_threads(mni: Anatomy, head: Head) -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1 if before > 1 else 2)
        again = bend(mni, draw_warp(np.random.default_rng(5)))
    finally:
        torch.set_num_threads(before)
    for tissue in TISSUE_NAMES:
        np.testing.assert_array_equal(again.tissues[tissue], head.tissues[tissue])


# What ids stand for in the small label map, by tissue of the atlas.
IDS = {"fluid": 24, "grey": 3, "white": 2, "bone": 515, "soft": 507, "fat": 516}


# A hole that no label fills, as segmentations leave them: MNI mm, inside the white matter.
HOLE_RAS, HOLE_MM = (30, -10, 30), 4.0


def write_label_map(path: Path, mni: Anatomy, spacing: float = 2.0) -> np.ndarray:
    """Write the atlas's head as a label map: coarser, nodding, in another axis order, holed."""
    names = list(IDS)
    stack = np.stack([mni.tissues[name] for name in names])
    labels = np.array([IDS[name] for name in names])[stack.argmax(axis=0)]
    labels[stack.sum(axis=0) < 0.5] = 0
    labels = np.where((labels == 0) | (mni.surface_mm < 4) | (labels > 500), labels, 507)
    points = mni.geometry.to_lps(np.indices(labels.shape).reshape(3, -1).T)
    away = np.linalg.norm(points * [-1, -1, 1] - HOLE_RAS, axis=1).reshape(labels.shape)
    labels[away < HOLE_MM] = 0
    angle = np.radians(8)
    turn = np.eye(4)
    turn[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    turn[:3, 3] = 5, -12, 9
    # Voxel axes: right to left, top to bottom, back to front.
    affine = np.array(
        [[-spacing, 0, 0, 110], [0, 0, spacing, -150], [0, -spacing, 0, 120], [0, 0, 0, 1.0]]
    )
    flip = np.diag([-1.0, -1, 1, 1])
    to_voxel = np.linalg.inv(mni.geometry.affine) @ flip @ np.linalg.inv(turn) @ affine
    shape = tuple(int(extent / spacing) for extent in (220, 250, 290))
    voxels = ndimage.affine_transform(
        labels, to_voxel[:3, :3], to_voxel[:3, 3], output_shape=shape, order=0
    )
    nib.save(nib.Nifti1Image(voxels.astype(np.int16), affine), path)
    return turn


@pytest.fixture(scope="module")
def small_map(mni: Anatomy, tmp_path_factory: pytest.TempPathFactory) -> tuple[Anatomy, np.ndarray]:
    folder = tmp_path_factory.mktemp("maps")
    turn = write_label_map(folder / "one.nii.gz", mni)
    (anatomy,) = load_label_maps(folder)
    assert load_label_maps(folder)[0] is anatomy
    return anatomy, turn


def test_label_map_becomes_fractions(small_map: tuple[Anatomy, np.ndarray], mni: Anatomy) -> None:
    anatomy, _ = small_map
    assert anatomy.name == "one"
    assert anatomy.geometry.spacing == (1.0, 1.0, 1.0)
    np.testing.assert_allclose(anatomy.geometry.axes, [[0, 0, 1], [0, 1, 0], [1, 0, 0]])
    total = np.sum(list(anatomy.tissues.values()), axis=0)
    assert total.max() < 1 + 1e-5
    for tissue in ("grey", "white"):
        hard = (mni.tissues[tissue] > 0.5).sum()
        assert anatomy.tissues[tissue].sum() == pytest.approx(hard, rel=0.15)
    edge = (anatomy.tissues["bone"] > 0.1) & (anatomy.tissues["bone"] < 0.9)
    assert edge.sum() > 0.2 * (anatomy.tissues["bone"] > 0.5).sum()


def test_hole_in_the_brain_is_no_air(small_map: tuple[Anatomy, np.ndarray]) -> None:
    anatomy, _ = small_map
    place = anatomy.from_mni(np.array(HOLE_RAS) * [-1.0, -1.0, 1.0])
    index = tuple(np.rint(anatomy.geometry.to_index(place)).astype(int))
    assert anatomy.tissues["white"][index] > 0.9


def test_registration_finds_the_pose_of_a_label_map(
    small_map: tuple[Anatomy, np.ndarray],
) -> None:
    anatomy, turn = small_map
    points = np.array(
        [(13, 4, -20), (-13, 4, -20), (0, -11, -20), (37, 8, -18), (2, 38, 8), (-46, -28, 14)],
        float,
    )
    wanted = ras_to_lps(apply_affine(turn, points))
    found = anatomy.from_mni(ras_to_lps(points))
    assert np.linalg.norm(found - wanted, axis=1).max() < 2.0
    assert anatomy.from_mni(ras_to_lps(points[0])).shape == (3,)


def test_registration_is_the_same_in_every_process(
    small_map: tuple[Anatomy, np.ndarray], mni: Anatomy, tmp_path: Path
) -> None:
    write_label_map(tmp_path / "one.nii.gz", mni)
    code = (
        "import sys,hashlib,numpy as np;from pathlib import Path;"
        "from training.simulate.label_maps import find_label_maps, load_label_map;"
        "(a,)=map(load_label_map, find_label_maps(Path(sys.argv[1])).values());"
        "p=np.mgrid[-60:60:13,-80:60:13,-40:60:13].reshape(3,-1).T.astype(float);"
        "sys.stdout.write(hashlib.sha256(a.from_mni(p).tobytes()).hexdigest())"
    )
    threads = {**os.environ, "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "3", "OMP_NUM_THREADS": "2"}
    other = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        env=threads,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    anatomy, _ = small_map
    grid = np.mgrid[-60:60:13, -80:60:13, -40:60:13].reshape(3, -1).T.astype(float)
    assert other == hashlib.sha256(anatomy.from_mni(grid).tobytes()).hexdigest()


def test_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no label maps"):
        load_label_maps(tmp_path)


def test_unknown_id_is_named_with_its_file(tmp_path: Path) -> None:
    voxels = np.zeros((20, 20, 20), np.int16)
    voxels[5:15, 5:15, 5:15] = 2
    voxels[10, 10, 10] = 999
    nib.save(nib.Nifti1Image(voxels, np.eye(4)), tmp_path / "odd.nii.gz")
    with pytest.raises(InputError, match=r"odd\.nii\.gz.*999"):
        load_label_maps(tmp_path)


@pytest.mark.parametrize(
    ("voxels", "spacing", "message"),
    [
        (np.full((20, 20, 20), 2.5, np.float32), 1.0, "not a label map"),
        (np.zeros((20, 20), np.int16), 1.0, "not a label map"),
        (np.zeros((20, 20, 20), np.int16), 8.0, "voxels of"),
        (np.zeros((20, 20, 20), np.int16), 1.0, "no whole brain"),
    ],
)
def test_what_is_no_label_map_is_refused(
    voxels: np.ndarray, spacing: float, message: str, tmp_path: Path
) -> None:
    affine = np.diag([spacing, spacing, spacing, 1.0])
    nib.save(nib.Nifti1Image(voxels, affine), tmp_path / "bad.nii.gz")
    with pytest.raises(InputError, match=message):
        load_label_maps(tmp_path)


def test_what_is_no_nifti_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.nii.gz").write_text("no image")
    with pytest.raises(InputError, match=r"text\.nii\.gz"):
        load_label_maps(tmp_path)


@pytest.mark.real_data
def test_real_label_maps_register_to_the_atlas(shared_data: Path, mni: Anatomy) -> None:
    folder = shared_data / "simulator" / "synthseg_label_maps"
    if not folder.is_dir():
        pytest.skip("real label maps: the folder simulator/synthseg_label_maps is not in the data")
    # One is enough here: the others differ in the person, not in the format.
    path = min(folder.glob("*.nii.gz"))
    anatomy = load_label_map(path.resolve())
    points = mni.geometry.to_lps(np.argwhere(mni.surface_mm[::3, ::3, ::3] < 0) * 3)
    index = anatomy.geometry.to_index(anatomy.from_mni(points)).T
    for tissue, least in (("grey", 0.62), ("white", 0.68)):
        own = ndimage.map_coordinates(anatomy.tissues[tissue], index, order=1) > 0.5
        atlas = mni.tissues[tissue][tuple(mni.geometry.to_index(points).astype(int).T)] > 0.5
        assert 2 * (own & atlas).sum() / (own.sum() + atlas.sum()) > least
    for side in (1, -1):
        assert at(anatomy, "fluid", (side * 35, 63, -45)) > 0.5
