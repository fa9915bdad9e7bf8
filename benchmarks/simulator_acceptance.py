"""Compare what is measured on simulated thrombi with what publications report.

``python -m benchmarks.simulator_acceptance --cases 200 --out docs`` simulates 200 cases: 100
patients, each at one of the three-dimensional sites in turn and at the two-dimensional one. It
prints a table: what was measured on the simulated images, what was published, and whether the one
lies inside the other. Everything it measures is simulated.
"""

import json
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from rich.progress import track

from benchmarks.simulator_measures import (
    Mask,
    adc_ratio,
    dark_section,
    microbleed_volumes,
    phase_sign,
    reader_finds,
    width_across,
)
from benchmarks.simulator_table import PLANAR, VOLUMETRIC, Row, markdown, table
from service.domain.geometry import Geometry
from training.memory import keep_freed_memory
from training.simulate.case import is_visible
from training.simulate.examination import draw_examination
from training.simulate.examine import Options, find_heads
from training.simulate.painting import paint
from training.simulate.patient import Patient, draw_patient
from training.simulate.site import Composition, Site, load_sites
from training.simulate.susceptibility import render_susceptibility

CPU = torch.device("cpu")
# Seeds of this measurement, far from those of cohorts and of the demonstration.
FIRST_SEED = 500_000_000
SHORT_TE_MS, LONG_TE_MS = 20.0, 40.0


def measure_patient(seed: int, anatomies: Path | None, site: str) -> list[Row]:
    """Examine one patient at a three-dimensional site and at the two-dimensional one."""
    torch.set_num_threads(1)
    sites = load_sites().sites
    patient = draw_patient(seed, find_heads(Options(anatomies=anatomies)))
    rows = [measure_site(patient, sites[name]) for name in (site, PLANAR)]
    rows[0]["microbleeds"] = _microbleeds(patient, sites["B"])
    exam = draw_examination(patient, sites[site], complete=True, device=CPU)
    rows[0]["adc_ratio"] = adc_ratio(exam) if patient.clot is not None else None
    return rows


def measure_site(patient: Patient, site: Site) -> Row:
    """Measure thrombus, reader and phase on the susceptibility-weighted images of a site."""
    exam = draw_examination(patient, site, complete=True, device=CPU)
    images = render_susceptibility(exam)
    grid = images.grid.geometry
    magnitude = images.magnitude.numpy()
    healthy = _healthy_artery(patient, images.lumen, grid)
    found = reader_finds(magnitude, (images.lumen, healthy), grid)
    row: Row = {
        "seed": patient.seed,
        "site": site.name,
        "anatomy": patient.head.anatomy,
        "with_clot": patient.clot is not None,
        "healthy_dark": [pair[1] for pair in found],
        "calcium_phase": [
            phase_sign(exam, images, source.body)
            for source in patient.sources
            if source.kind == "calcification" and source.body.radius_mm[0] > 1.0
        ],
    }
    if patient.clot is None or not images.lumen.any():
        return row
    piece = patient.clot.pieces[0]
    return row | {
        "occlusion": patient.clot.site,
        "cardioembolic": patient.clot.cardioembolic,
        "ppm": piece.mean_ppm,
        "pieces": len(patient.clot.pieces),
        "length_mm": piece.tube.length_mm,
        "true_mm3": float(np.pi * (piece.tube.radius_mm**2).mean() * piece.tube.length_mm),
        "lumen_mm3": float(images.lumen.sum() * grid.voxel_volume),
        "svs_mm3": float(images.svs.sum() * grid.voxel_volume),
        "visible": is_visible(images.lumen, images.svs),
        "dark_section": dark_section(exam, images, piece.tube),
        "svs_width_mm": width_across(images.svs, piece.tube, grid),
        "found": [pair[0] for pair in found],
        "clot_phase": phase_sign(exam, images, piece.tube),
    }


def _healthy_artery(patient: Patient, lumen: Mask, grid: Geometry) -> Mask:
    """Return an M1 without thrombus: the left one, or the right one if the thrombus is left."""
    side = "R" if patient.clot is not None and patient.clot.side == "L" else "L"
    inside = np.zeros(grid.shape, bool)
    painted = paint(patient.arteries[f"M1_{side}"], grid)
    inside.reshape(-1)[painted.flat[painted.fraction > 0.3]] = True
    return inside & ~lumen


def _microbleeds(patient: Patient, site: Site) -> list[tuple[float, float]]:
    """Dark volumes of every microbleed at both echo times, magnitude alone."""
    if not any(source.kind == "microbleed" for source in patient.sources):
        return []
    volumes = []
    for echo in (SHORT_TE_MS, LONG_TE_MS):
        protocol = replace(
            site.susceptibility, composition=Composition.MAGNITUDE, echo_times_ms=(echo,)
        )
        exam = draw_examination(
            patient, replace(site, susceptibility=protocol), complete=True, device=CPU
        )
        volumes.append(microbleed_volumes(exam))
    return list(zip(*volumes, strict=True))


def main(
    cases: Annotated[int, typer.Option(min=2, help="Two for every patient.")] = 200,
    processes: Annotated[int, typer.Option(min=1)] = os.cpu_count() or 1,
    anatomies: Annotated[Path | None, typer.Option(help="Folder of label maps.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the table and its data.")] = None,
) -> None:
    """Measure, print the table, and write it with every row behind it."""
    rows: list[Row] = []
    context = get_context("spawn")
    with ProcessPoolExecutor(processes, context, initializer=keep_freed_memory) as pool:
        futures = [
            pool.submit(measure_patient, FIRST_SEED + i, anatomies, VOLUMETRIC[i % len(VOLUMETRIC)])
            for i in range(cases // 2)
        ]
        for future in track(futures, "measuring simulated patients"):
            rows += future.result()
    text = markdown(table(rows), cases)
    typer.echo(text)
    if out is not None:
        (out / "simulator-acceptance.md").write_text(text)
        (out / "simulator-acceptance.json").write_text(json.dumps(rows) + "\n")


if __name__ == "__main__":
    typer.run(main)
