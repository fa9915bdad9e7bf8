"""Compare what is measured on simulated thrombi with what publications report.

``python -m benchmarks.simulator_acceptance --cases 200 --out docs`` simulates 200 cases: 100
patients, each at one of the three-dimensional sites in turn and at the two-dimensional one. It
prints a table: what was measured on the simulated images, what was published, and whether the one
lies inside the other. Everything it measures is simulated.
"""

import json
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from rich.progress import track

from benchmarks.simulator_measures import (
    READER_RATIOS,
    Mask,
    adc_ratio,
    is_visible,
    microbleed_volumes,
    phase_sign,
    reader_finds,
    width_across,
)
from service.domain.geometry import Geometry
from training.simulate.anatomy import load_mni
from training.simulate.examination import draw_examination
from training.simulate.examine import Options, find_heads
from training.simulate.painting import paint
from training.simulate.patient import Patient, draw_patient
from training.simulate.site import Composition, Site, load_sites
from training.simulate.susceptibility import render_susceptibility

VOLUMETRIC = ("A", "B", "C")
PLANAR = "D"
CPU = torch.device("cpu")
# Seeds of this measurement, far from those of cohorts and of the demonstration.
FIRST_SEED = 500_000_000
# The threshold reader of the table; the others stand in the data.
READER_RATIO = 0.7
SHORT_TE_MS, LONG_TE_MS = 20.0, 40.0
Row = dict[str, Any]


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
        "visible": is_visible(images),
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


@dataclass(frozen=True)
class Line:
    """A row of the table.

    Attributes
    ----------
    quantity : str
    measured : float
    unit : str
    low, high : float
        Range the published values give.
    published : str
        The values and where they are from.
    count : int
        Thrombi, patients or bodies behind the number.
    """

    quantity: str
    measured: float
    unit: str
    low: float
    high: float
    published: str
    count: int

    @property
    def inside(self) -> bool:
        """Whether the measured value lies in the published range."""
        return bool(self.low <= self.measured <= self.high)


def table(rows: Sequence[Row]) -> list[Line]:
    """Compare everything that was measured with what was published."""
    clots = [row for row in rows if "occlusion" in row]
    volumetric = [row for row in clots if row["site"] in VOLUMETRIC]
    return [
        *_visibility(clots, volumetric),
        *_reader(rows, clots, volumetric),
        *_shape(volumetric),
        *_phases(volumetric),
        *_others(rows),
    ]


def _share(rows: Iterable[Row], value: Callable[[Row], bool]) -> float:
    return 100 * float(np.mean([value(row) for row in rows]))


def _median(rows: Iterable[Row], value: Callable[[Row], float]) -> float:
    return float(np.median([value(row) for row in rows]))


def _seen(row: Row) -> bool:
    return bool(row["visible"])


def _visibility(clots: list[Row], volumetric: list[Row]) -> list[Line]:
    published = "SWI 93 % (Radbruch 2013), 95.5 % (Weisstanner 2014), 78 % (Kang 2017)"
    groups = {
        f"visible thrombi (SVS), site {site}": [row for row in clots if row["site"] == site]
        for site in VOLUMETRIC
    }
    groups["visible thrombi (SVS), 3D sites together"] = volumetric
    lines = [
        Line(name, _share(rows, _seen), "%", 75, 95, published, len(rows))
        for name, rows in groups.items()
    ]
    planar = [row for row in clots if row["site"] == PLANAR]
    published = "2D T2* 54 % (Hodel 2014), 76 % (n = 180), 67 to 78 % (Raj)"
    name = f"visible thrombi (SVS), site {PLANAR}, 2D T2*"
    return [*lines, Line(name, _share(planar, _seen), "%", 50, 78, published, len(planar))]


def _reader(rows: Sequence[Row], clots: list[Row], volumetric: list[Row]) -> list[Line]:
    """Sensitivity at the darkness that readers would take: the same for both kinds of images."""
    planar = [row for row in clots if row["site"] == PLANAR]
    everybody = [row for row in rows if row["site"] in VOLUMETRIC]
    level = READER_RATIOS.index(READER_RATIO)

    def found(row: Row) -> bool:
        return bool(row["found"][level])

    spatial, flat = _share(volumetric, found), _share(planar, found)
    false = _share(everybody, lambda row: bool(row["healthy_dark"][level]))
    hodel = "(Hodel 2014)"
    return [
        Line(
            "threshold reader finds, 3D",
            spatial,
            "%",
            83,
            96,
            f"83 to 96 % {hodel}",
            len(volumetric),
        ),
        Line(
            "threshold reader finds, 2D T2*, same patients",
            flat,
            "%",
            44,
            67,
            f"54 % {hodel}, 67 % (Raj)",
            len(planar),
        ),
        Line(
            "3D finds more than 2D by",
            spatial - flat,
            "points",
            20,
            46,
            f"29 to 42 points {hodel}",
            len(planar),
        ),
        Line(
            "reader calls a healthy M1 dark, 3D",
            false,
            "%",
            0,
            9,
            f"specificity 91 to 100 % {hodel}, Raj",
            len(everybody),
        ),
    ]


def _bloom(rows: Iterable[Row]) -> float:
    return _median(rows, lambda row: row["svs_mm3"] / row["true_mm3"])


def _shape(volumetric: list[Row]) -> list[Line]:
    of = {site: [r for r in volumetric if r["occlusion"] == site] for site in ("M1", "ICA", "BA")}
    seen = [row for row in of["M1"] if row["visible"]]
    along = [row for row in of["BA"] if row["visible"]]
    lengths = [row["length_mm"] for row in volumetric]
    m1_lengths = [row["length_mm"] for row in of["M1"]]
    return [
        Line(
            "SVS diameter of M1 thrombi, median",
            _median(seen, lambda row: row["svs_width_mm"]),
            "mm",
            4,
            6,
            "4 to 6 mm; cut-off of cardio-embolism 5.5 mm (Kang 2017)",
            len(seen),
        ),
        Line(
            "M1 blooms: visible over true volume, median",
            _bloom(seen),
            "x",
            1.2,
            4,
            "1.4 to 4 by the closed form of a cylinder across the field",
            len(seen),
        ),
        Line(
            "basilar does not: the same",
            _bloom(along),
            "x",
            0.7,
            1.6,
            "1.0 to 1.3 by the closed form of a cylinder along the field",
            len(along),
        ),
        Line(
            "length of all thrombi, median",
            float(np.median(lengths)),
            "mm",
            8,
            16.1,
            "9.9 mm (MR, n = 34), 16.1 mm (CT, proximal, Kamalian 2013)",
            len(lengths),
        ),
        Line(
            "length of M1 thrombi, mean",
            float(np.mean(m1_lengths)),
            "mm",
            8.2,
            18.5,
            "8.2 +/- 4.6 mm (MR), 18.5 +/- 14.2 mm (CT)",
            len(m1_lengths),
        ),
        Line(
            "volume of ICA and M1 thrombi, mean",
            float(np.mean([row["true_mm3"] for row in of["M1"] + of["ICA"]])),
            "mm3",
            83,
            174,
            "107.5 recanalised, 173.7 not (CT, Baek 2017); 83 for 3.1 x 11 mm",
            len(of["M1"]) + len(of["ICA"]),
        ),
        Line(
            "patients with fragments",
            100 * float(np.mean([row["pieces"] > 1 for row in volumetric])),
            "%",
            3,
            12,
            "7.4 % (Gratz 2015), 11.2 %",
            len(volumetric),
        ),
    ]


def _phases(volumetric: list[Row]) -> list[Line]:
    clots = [row["clot_phase"] for row in volumetric if row["visible"] and row["site"] != PLANAR]
    calcium = [sign for row in volumetric for sign in row["calcium_phase"] if sign]
    return [
        Line(
            "thrombi whose phase is that of a raised susceptibility",
            100 * float(np.mean(np.array(clots) > 0)),
            "%",
            90,
            100,
            "paramagnetic: all",
            len(clots),
        ),
        Line(
            "calcifications whose phase is the opposite",
            100 * float(np.mean(np.array(calcium) < 0)) if calcium else float("nan"),
            "%",
            90,
            100,
            "diamagnetic: all",
            len(calcium),
        ),
    ]


def _others(rows: Sequence[Row]) -> list[Line]:
    bleeds = [pair for row in rows for pair in row.get("microbleeds", ()) if pair[0] > 0]
    growth = [long / short for short, long in bleeds]
    ratios = [row["adc_ratio"] for row in rows if row.get("adc_ratio") is not None]
    free = [not row["with_clot"] for row in rows]
    return [
        Line(
            "microbleeds grow from TE 20 to 40 ms, median of volumes",
            float(np.median(growth)) if growth else float("nan"),
            "x",
            1.9,
            2.7,
            "2.30 (Liu 2012)",
            len(growth),
        ),
        Line(
            "ADC of the infarct over that of other brain, mean",
            float(np.mean(ratios)),
            "",
            0.65,
            0.85,
            "0.74 (627 over 843, Nagesh 1998), 0.77 at admission",
            len(ratios),
        ),
        Line(
            "patients without a thrombus",
            100 * float(np.mean(free)),
            "%",
            10,
            20,
            "15 % by design",
            len(free),
        ),
    ]


HEAD = """# Simulated against published

Printed by `python -m benchmarks.simulator_acceptance --cases {cases}`: {cases} simulated cases,
patients each at one of the three-dimensional sites and at the two-dimensional one. **All images are
simulated.**

| quantity | simulated | published range | inside | n | published |
|---|---|---|---|---|---|
"""


def markdown(lines: Sequence[Line], cases: int) -> str:
    """Return the table as Markdown."""
    body = [
        f"| {line.quantity} | {line.measured:.3g} {line.unit} | {line.low:g} to {line.high:g} "
        f"| {'yes' if line.inside else '**no**'} | {line.count} | {line.published} |"
        for line in lines
    ]
    return HEAD.format(cases=cases) + "\n".join(body) + "\n"


def main(
    cases: Annotated[int, typer.Option(min=2, help="Two for every patient.")] = 200,
    processes: Annotated[int, typer.Option(min=1)] = os.cpu_count() or 1,
    anatomies: Annotated[Path | None, typer.Option(help="Folder of label maps.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the table and its data.")] = None,
) -> None:
    """Measure, print the table, and write it with every row behind it."""
    load_mni()
    rows: list[Row] = []
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
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
        (out / "simulator-acceptance.json").write_text(json.dumps(rows, indent=0) + "\n")


if __name__ == "__main__":
    typer.run(main)
