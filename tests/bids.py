"""Small BIDS data sets for tests: an ellipsoid head, written file by file."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from service.domain.geometry import Geometry
from service.domain.volume import Volume
from tests.strategies import dicom_axes, rotation
from training.nifti_volumes import write_volume

SUBJECT = "sub-one"
RADII = np.array([66.0, 82.0, 60.0])


def grid(
    spacing: tuple[float, float, float] = (5.0, 3.0, 4.0), *, oblique: bool = True
) -> Geometry:
    """Return a grid around a head; spacings all differ."""
    axes = dicom_axes(rotation((0.97, 0.14, 0.08, -0.05) if oblique else (1.0, 0.0, 0.0, 0.0)))
    shape = np.ceil(190.0 / np.array(spacing)).astype(int)
    corner = -(np.array(spacing) * (shape - 1) / 2) @ axes
    slices, rows, columns = (int(n) for n in shape)
    return Geometry.from_components(
        origin=corner, axes=axes, spacing=spacing, shape=(slices, rows, columns)
    )


def points(of: Geometry) -> npt.NDArray[np.float64]:
    """Return LPS mm of all voxels."""
    return of.to_lps(np.moveaxis(np.indices(of.shape), 0, -1))


def head(of: Geometry, brightness: float = 800.0, air: float = 5.0) -> Volume:
    """Return a head with some texture."""
    places = points(of)
    inside = ((places / RADII) ** 2).sum(axis=-1) < 1
    texture = brightness * (1 + 0.1 * np.sin(places / 9).prod(axis=-1))
    return Volume(np.where(inside, texture, air).astype(np.float32), of)


def angles(of: Geometry) -> Volume:
    """Return phase in radians: smooth inside the head, noise around it."""
    places = points(of)
    inside = ((places / RADII) ** 2).sum(axis=-1) < 1
    noise = np.random.default_rng(0).uniform(-np.pi, np.pi, of.shape)
    smooth = np.sin(places[..., 0] / 20)
    return Volume(np.where(inside, smooth, noise).astype(np.float32), of)


def ball(of: Geometry, centre: tuple[float, float, float], radius: float) -> Volume:
    """Return a mask of a ball, LPS mm."""
    apart = np.linalg.norm(points(of) - np.array(centre), axis=-1)
    return Volume(np.asarray(apart < radius), of)


def add(
    root: Path, name: str, volume: Volume, sidecar: dict[str, Any] | None = None, session: str = ""
) -> Path:
    """Write an image such as ``anat/FLAIR`` of the subject, and its sidecar."""
    datatype, suffix = name.split("/")
    stem = "_".join(part for part in (SUBJECT, session, suffix) if part)
    path = write_volume(volume, root / SUBJECT / session / datatype / f"{stem}.nii.gz")
    if sidecar is not None:
        path.with_name(f"{stem}.json").write_text(json.dumps(sidecar))
    return path


def add_label(root: Path, label: Volume, name: str = "desc-clot", source: str = "manual") -> Path:
    """Write a mask of the subject."""
    folder = root / "derivatives" / source / SUBJECT / "anat"
    return write_volume(label, folder / f"{SUBJECT}_{name}_mask.nii.gz")
