"""Simulate a case: one seed, one site, one examination with its truth."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from service.domain.sequence import Role
from service.domain.volume import Volume
from training.simulate.anatomy import MNI, load_mni
from training.simulate.angiography import render_angiography
from training.simulate.case import Case
from training.simulate.diffusion import render_diffusion
from training.simulate.examination import Examination, draw_examination
from training.simulate.flair import render_flair
from training.simulate.head import MOST_VARIETY
from training.simulate.label_maps import find_label_maps, load_label_map
from training.simulate.labels import draw_jitter, microbleed_mask
from training.simulate.parameters import parameters
from training.simulate.patient import LoadAnatomy, draw_patient
from training.simulate.site import OptionError, Site
from training.simulate.susceptibility import SusceptibilityImages, render_susceptibility


class DeviceError(OptionError):
    """The requested device is not there; whoever asked can choose another."""


class HeadError(OptionError):
    """A requested head is not among the anatomies; whoever asked can name another."""


@dataclass(frozen=True)
class Options:
    """How a case is simulated.

    Attributes
    ----------
    with_clot : bool or None
        Whether there is a thrombus; drawn if None (15 % have none).
    complete : bool
        Render every sequence, whatever the site's archive would lack.
    jitter : bool
        Draw the label ``svs`` as one of several annotators would; ``lumen`` is always the truth.
    anatomies : Path or None
        Folder of FreeSurfer-style label maps, used besides the built-in head.
    heads : tuple of str
        Names of the heads to draw from; all of them if empty.
    variety : float
        How much more than patients' heads and courses of arteries vary: 1 to MOST_VARIETY, for
        training on few anatomies.
    even_occlusions : bool
        Draw every site of occlusion alike, not as often as patients have it, for training on
        arteries that are seldom occluded.
    device : str
        "cpu", "cuda", or "auto" for CUDA where there is one. The same bits are promised on the
        processor alone; CUDA has not been tried yet.
    """

    with_clot: bool | None = None
    complete: bool = False
    jitter: bool = False
    anatomies: Path | None = None
    heads: tuple[str, ...] = ()
    variety: float = 1.0
    even_occlusions: bool = False
    device: str = "auto"


def check(options: Options) -> None:
    """Refuse options that no case could be simulated with; takes no time.

    Raises
    ------
    DeviceError, HeadError, InputError
        As ``simulate_case``.
    OptionError
        If the variety is out of its range.
    """
    if not 1 <= options.variety <= MOST_VARIETY:
        raise OptionError(f"variety must be 1 to {MOST_VARIETY:g}, got {options.variety:g}")
    choose_device(options.device)
    find_heads(options)


def simulate_case(seed: int, site: Site, options: Options) -> Case:
    """Simulate one examination; the same arguments give the same bits on the same device.

    Raises
    ------
    DeviceError
        If CUDA is asked for and not there.
    HeadError
        If a named head is not among the anatomies.
    InputError
        If a label map is none, or its folder has none.
    """
    # One thread: the sums of a matrix product depend on how it is split.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _simulate(seed, site, options)
    finally:
        torch.set_num_threads(threads)


def _simulate(seed: int, site: Site, options: Options) -> Case:
    patient = draw_patient(
        seed,
        find_heads(options),
        with_clot=options.with_clot,
        variety=options.variety,
        even_occlusions=options.even_occlusions,
    )
    device = choose_device(options.device)
    exam = draw_examination(patient, site, complete=options.complete, device=device)
    images = render_susceptibility(exam)
    volumes, b0, draws = _companions(exam)
    annotator = draw_jitter(exam.stream("annotator")) if options.jitter else None
    grid = exam.in_patient_frame(images.grid.geometry)
    drawn = images.svs if annotator is None else annotator.apply(images.svs)
    lumen, svs = Volume(images.lumen, grid), Volume(drawn, grid)
    draws |= {"susceptibility": images.draws, "annotator": annotator}
    present = {**_susceptibility_volumes(exam, images), **volumes}
    kept = {role: present[role] for role in Role if role in present}
    return Case(
        seed=seed,
        site=site,
        scans={role: exam.scans[role] for role in kept},
        volumes=kept,
        b0=b0 if Role.DWI in kept else None,
        lumen=lumen,
        svs=svs,
        microbleeds=Volume(microbleed_mask(patient.sources, images.grid), grid),
        parameters=parameters(exam, draws, (lumen, svs)),
    )


def find_heads(options: Options) -> dict[str, LoadAnatomy]:
    """Return what loads each head to draw from, by its name; loading one takes seconds.

    Raises
    ------
    InputError
        If the folder of label maps has none.
    HeadError
        If a named head is not there.
    """
    maps = find_label_maps(options.anatomies) if options.anatomies is not None else {}
    known: dict[str, LoadAnatomy] = {MNI: load_mni}
    known |= {name: partial(load_label_map, path) for name, path in maps.items()}
    unknown = [name for name in options.heads if name not in known]
    if unknown:
        raise HeadError(f"there is no head {unknown[0]!r}; known are {', '.join(known)}")
    return {name: known[name] for name in options.heads or known}


def choose_device(name: str) -> torch.device:
    """Return the device of a name: "auto" is CUDA where there is one."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name not in ("cpu", "cuda"):
        raise DeviceError(f"device must be auto, cpu or cuda, got {name!r}")
    if name == "cuda" and not torch.cuda.is_available():
        raise DeviceError("device cuda was asked for, but torch sees none; use --device cpu")
    return torch.device(name)


def _susceptibility_volumes(exam: Examination, images: SusceptibilityImages) -> dict[Role, Volume]:
    grid = images.grid.geometry
    stored = {Role.SUSC: images.magnitude, Role.PHASE: images.phase}
    return {
        role: exam.stored(voxels, grid)
        for role, voxels in stored.items()
        if role not in exam.missing
    }


def _companions(
    exam: Examination,
) -> tuple[dict[Role, Volume], Volume | None, dict[str, object]]:
    """Render what the archive holds of the other sequences: volumes, b0, and what was drawn."""
    volumes: dict[Role, Volume] = {}
    draws: dict[str, object] = {}
    b0 = None
    if not {Role.DWI, Role.ADC} <= exam.missing:
        diffusion = render_diffusion(exam)
        grid = diffusion.grid.geometry
        draws["diffusion"] = diffusion.draws
        b0 = exam.stored(diffusion.b0, grid)
        for role, image in ((Role.DWI, diffusion.trace), (Role.ADC, diffusion.adc)):
            if role not in exam.missing:
                volumes[role] = exam.stored(image, grid)
    if Role.FLAIR not in exam.missing:
        flair = render_flair(exam)
        draws["flair"] = flair.draws
        volumes[Role.FLAIR] = exam.stored(flair.magnitude, flair.grid.geometry)
    if Role.TOF not in exam.missing:
        angiography = render_angiography(exam)
        draws["angiography"] = angiography.draws
        volumes[Role.TOF] = exam.stored(angiography.magnitude, angiography.grid.geometry)
    return volumes, b0, draws
