"""Cohorts of simulated cases, preprocessed as the service does it, and slabs drawn from them.

``python -m training.make_cohort`` writes one folder a case; ``sequences.npy`` is read by memory
map, so that a slab costs only its own bytes.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from service.domain.geometry import Geometry
from service.domain.model_spec import InputSpec
from service.stages.align_volumes import choose_reference
from service.stages.preprocess import NetworkInput, preprocess
from service.stages.resample import resample_linear
from training.cohort_errors import CohortError
from training.config import AimConfig
from training.simulate.case import Case

Float32 = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.int64]

# How far from its centre what a slab is cut around may be, as a share of the slab's size.
JITTER = 0.3
AIM = AimConfig()
# Ending of the name of a case that is still being written.
PARTIAL = ".partial"


@dataclass(frozen=True, eq=False)
class PreparedCase:
    """A case as the network sees it, arrays (slice, row, column) on the network's grid.

    Attributes
    ----------
    network_input : NetworkInput
        ``sequences`` may be a memory map of float16.
    target, lumen : bool array
        Training label and true clot.
    parameters : mapping
        Seed, site and everything else that was drawn.
    mimics : int array (n, 3)
        Voxels, as (slice, row, column), of what a network took for a clot; none unless given.
    """

    network_input: NetworkInput
    target: Mask
    lumen: Mask
    parameters: Mapping[str, Any]
    mimics: Indices = field(default_factory=lambda: np.zeros((0, 3), np.int64))


def prepare(case: Case, spec: InputSpec) -> PreparedCase:
    """Bring all sequences to one grid and preprocess them as the service does."""
    reference_role = choose_reference(case.volumes)
    reference = case.volumes[reference_role].geometry
    aligned = {
        role: volume if volume.geometry is reference else resample_linear(volume, reference)
        for role, volume in case.volumes.items()
    }
    network_input = preprocess(aligned, reference_role, spec)
    target, lumen = (
        resample_linear(label, network_input.grid, outside=0.0).voxels >= 0.5
        for label in (case.target, case.lumen)
    )
    return PreparedCase(network_input, target, lumen, case.parameters)


def save(prepared: PreparedCase, folder: Path) -> None:
    """Write a prepared case; the folder appears only when it is complete."""
    partial = folder.with_name(folder.name + PARTIAL)
    partial.mkdir(parents=True, exist_ok=True)
    values = prepared.network_input
    np.save(partial / "sequences.npy", values.sequences.astype(np.float16))
    np.savez_compressed(partial / "labels.npz", target=prepared.target, lumen=prepared.lumen)
    document = {
        "presence": values.presence.tolist(),
        "grid": _geometry_to_json(values.grid),
        "reference": _geometry_to_json(values.reference),
        "head_centre_lps": values.head_centre_lps,
        "parameters": dict(prepared.parameters),
    }
    (partial / "case.json").write_text(json.dumps(document, indent=1))
    partial.rename(folder)


def load(folder: Path) -> PreparedCase:
    """Read a prepared case; the sequences stay on disk until they are sliced."""
    document = json.loads((folder / "case.json").read_text())
    with np.load(folder / "labels.npz") as labels:
        target, lumen = labels["target"], labels["lumen"]
    network_input = NetworkInput(
        sequences=np.load(folder / "sequences.npy", mmap_mode="r"),
        presence=np.array(document["presence"], np.float32),
        grid=_geometry_from_json(document["grid"]),
        reference=_geometry_from_json(document["reference"]),
        head_centre_lps=tuple(document["head_centre_lps"]),
    )
    return PreparedCase(network_input, target, lumen, document["parameters"])


def load_cohort(folder: Path) -> list[PreparedCase]:
    """Read all complete cases of a cohort, in the order of their names."""
    return [load(path) for path in case_folders(folder)]


def case_folders(folder: Path) -> list[Path]:
    """Return the folders of a cohort's complete cases, sorted."""
    complete = (path for path in sorted(folder.iterdir()) if path.suffix != PARTIAL)
    return [path for path in complete if (path / "case.json").exists()]


def read_mimics(file: Path, names: Sequence[str]) -> dict[str, Indices]:
    """Read the mimics of the cases of a cohort, (n, 3) each.

    Raises
    ------
    CohortError
        If the file cannot be read or says nothing about a case.
    """
    try:
        content = json.loads(file.read_text())
        return {name: np.array(content[name], np.int64).reshape(-1, 3) for name in names}
    except (OSError, ValueError, TypeError) as exc:
        raise CohortError(f"{file} cannot be read: {exc}") from exc
    except KeyError as exc:
        raise CohortError(f"{file} says nothing about case {exc}: find the mimics anew") from exc


def _geometry_to_json(geometry: Geometry) -> dict[str, Any]:
    return {"affine": geometry.affine.tolist(), "shape": list(geometry.shape)}


def _geometry_from_json(document: Mapping[str, Any]) -> Geometry:
    slices, rows, columns = document["shape"]
    return Geometry(np.array(document["affine"]), (slices, rows, columns))


@dataclass(frozen=True, eq=False)
class Slab:
    """Neighbouring slices of one case, cut to a fixed size.

    Attributes
    ----------
    sequences : float32 array (slice + 2 x neighbours, role, row, column)
        With the slices beside those of the target.
    presence : float32 array (role,)
    target : float32 array (slice, row, column)
    """

    sequences: Float32
    presence: Float32
    target: Float32


def _aimed_at(case: PreparedCase, aim: AimConfig, chance: float) -> Indices:
    """Return the voxels of which one is to be in the slab; none if it may lie anywhere."""
    if chance < aim.clots:
        return np.argwhere(case.target)
    return case.mimics if chance < aim.clots + aim.mimics else case.mimics[:0]


def draw_slab(
    case: PreparedCase,
    size: tuple[int, int, int],
    rng: np.random.Generator,
    *,
    neighbours: int = 0,
    aim: AimConfig = AIM,
) -> Slab:
    """Cut a slab of ``size`` (slice, row, column) around a clot, a mimic, or anywhere.

    What it is cut around may lie off its centre, but is always in it.
    Where the case is smaller than the slab, zeros are added behind it; beyond the ends of the case,
    the slices beside the slab are zeros.
    """
    shape = np.array(case.target.shape)
    room = np.maximum(shape - size, 0)
    start = rng.integers(0, room + 1)
    inside = _aimed_at(case, aim, float(rng.random()))
    if len(inside):
        voxel = inside[rng.integers(len(inside))]
        centre = voxel + rng.uniform(-JITTER, JITTER, 3) * size
        start = np.rint(centre - np.array(size) / 2).astype(int)
        start = np.clip(np.clip(start, voxel - size + 1, voxel), 0, room)
    window = tuple(slice(int(low), int(low) + n) for low, n in zip(start, size, strict=True))
    low, high = window[0].start - neighbours, window[0].stop + neighbours
    sequences = case.network_input.sequences[max(0, low) : high, :, window[1], window[2]]
    target = case.target[window]
    missing = [(0, n - m) for n, m in zip(size, target.shape, strict=True)]
    beyond = (max(0, -low), max(0, high - len(case.target)))
    return Slab(
        sequences=np.pad(sequences.astype(np.float32), [beyond, (0, 0), *missing[1:]]),
        presence=case.network_input.presence.copy(),
        target=np.pad(target.astype(np.float32), missing),
    )
