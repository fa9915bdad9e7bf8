"""Draw one simulated patient at every site: all sequences, both labels outlined.

``python -m benchmarks.simulator_figure --seed 7 --out docs/figures/simulator-sites.png``. Every
image in it is simulated.
"""

from pathlib import Path
from typing import Annotated

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import typer
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from service.domain.geometry import Geometry
from service.domain.sequence import Role
from service.domain.volume import Volume
from service.stages.resample import resample_linear
from training.simulate.case import Case
from training.simulate.examine import Options, simulate_case
from training.simulate.site import load_sites

Float64 = npt.NDArray[np.float64]

ZOOM_MM = 32.0
COLOURS = {"lumen": "#36c5f0", "svs": "#ff5d5d"}


def draw_case(case: Case, axes: list[Axes]) -> None:
    """Draw a row: for each sequence the slice through the thrombus, and the part around it."""
    centre = _middle(case)
    for index, role in enumerate(Role):
        volume = case.volumes.get(role)
        whole, part = axes[2 * index], axes[2 * index + 1]
        if volume is None:
            continue
        number = int(
            np.clip(np.rint(volume.geometry.to_index(centre)[0]), 0, len(volume.voxels) - 1)
        )
        _show(whole, volume, number, role)
        _show(part, volume, number, role)
        _zoom(part, volume.geometry, centre)
        if role in (Role.SUSC, Role.PHASE):
            _outline(part, case, number)
        else:
            _outline_moved(part, case, volume.geometry, number)
        whole.set_title(f"{role}  {' x '.join(f'{mm:.1f}' for mm in volume.geometry.spacing)} mm")


def _middle(case: Case) -> Float64:
    index = np.argwhere(case.lumen.voxels)
    # A voxel of the thrombus itself: the mean of a curved one lies outside.
    nearest = index[np.argmin(np.linalg.norm(index - index.mean(axis=0), axis=1))]
    return case.lumen.geometry.to_lps(nearest)


def _show(axis: Axes, volume: Volume, number: int, role: Role) -> None:
    low, high = (-1.5, 1.5) if role is Role.PHASE else (0.0, _bright(volume))
    aspect = volume.geometry.spacing[1] / volume.geometry.spacing[2]
    axis.imshow(volume.voxels[number], cmap="gray", vmin=low, vmax=high, aspect=aspect)


def _bright(volume: Volume) -> float:
    brain = volume.voxels[volume.voxels > np.percentile(volume.voxels, 50)]
    return float(np.percentile(brain, 99))


def _zoom(axis: Axes, grid: Geometry, centre: Float64) -> None:
    _, row, column = grid.to_index(centre)
    rows, columns = ZOOM_MM / np.array(grid.spacing[1:])
    axis.set_xlim(column - columns, column + columns)
    axis.set_ylim(row + rows, row - rows)


def _outline(axis: Axes, case: Case, number: int) -> None:
    for name, label in (("svs", case.svs), ("lumen", case.lumen)):
        plane = label.voxels[number]
        if plane.any():
            axis.contour(plane, [0.5], colors=COLOURS[name], linewidths=0.8)


def _outline_moved(axis: Axes, case: Case, grid: Geometry, number: int) -> None:
    lumen = Volume(case.lumen.voxels.astype(np.float32), case.lumen.geometry)
    plane = resample_linear(lumen, grid, outside=0.0).voxels[number]
    if plane.max() > 0.2:
        axis.contour(plane, [0.2], colors=COLOURS["lumen"], linewidths=0.8)


def main(
    seed: Annotated[int, typer.Option(min=0)],
    out: Annotated[Path, typer.Option(help="PNG file.")],
    sites: Annotated[str, typer.Option()] = "multicentric",
    anatomies: Annotated[Path | None, typer.Option(help="Folder of label maps.")] = None,
) -> None:
    """Simulate the patient everywhere and write the figure."""
    mpl.use("Agg")
    chosen = load_sites().select(sites)
    options = Options(with_clot=True, complete=True, anatomies=anatomies)
    figure, axes = plt.subplots(len(chosen), 12, figsize=(30, 3.2 * len(chosen)), squeeze=False)
    for site, row in zip(chosen, axes, strict=True):
        case = simulate_case(seed, site, options)
        draw_case(case, list(row))
        clot = case.parameters["patient"]["clot"]
        row[0].set_ylabel(f"site {site.name}, {site.field_strength_t:g} T", fontsize=14)
        typer.echo(f"{case.name}: {clot['site']}, visible {case.visible}")
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
    figure.suptitle(
        f"SIMULATED, no patient. Patient {seed}, thrombus in {clot['site']} "
        f"({clot['pieces'][0]['mean_ppm']:.2f} ppm). Red: visible dark region (svs), "
        "blue: lumen.",
        fontsize=16,
    )
    figure.tight_layout(rect=(0, 0, 1, 0.97))
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=60)


if __name__ == "__main__":
    typer.run(main)
