"""Composition root of the heavy processes: whatever runs the network."""

import time
from pathlib import Path

import numpy as np
import structlog

from service import __version__
from service.adapters.analysis_files import analysis_files
from service.adapters.model_files import find_model, read_spec
from service.adapters.onnx_predictor import OnnxPredictor
from service.adapters.result_files import write_folder
from service.adapters.result_objects import read_objects
from service.application.analyse_study import (
    Analysis,
    AnalysisParameters,
    LoadedModel,
    Progress,
    analyse_study,
)
from service.bootstrap.local_study import open_study, site_overrides
from service.domain.destination import ObjectKind
from service.domain.errors import StorageError
from service.domain.job import Outcome
from service.domain.result_file import ResultFile
from service.settings import Settings
from service.stages.write_structured_report import Evidence

_log = structlog.get_logger(__name__)

# The tiny inference of a readiness check: slices, and rows and columns in units of the divisor.
PROBE_SLICES = 2
PROBE_TILES = 2


class Analyser:
    """Analyses studies with installed models, each opened once and kept.

    Implements ``StudyAnalysis`` for the worker; the command line calls ``analyse``.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._models: dict[Path, LoadedModel] = {}
        self._overrides = site_overrides(settings)

    def __call__(
        self,
        upload: Path,
        model: str,
        results: Path,
        progress: Progress,
        earlier: Path | None = None,
    ) -> Outcome:
        """Analyse the files under ``upload`` and write the new folder ``results``."""
        predecessor = None if earlier is None else structured_report_in(earlier)
        analysis = self.analyse(upload, model, progress, predecessor)
        files = analysis_files(analysis)
        write_folder(results, files)
        return Outcome(analysis.report.result.value, tuple(files))

    def analyse(
        self, study: Path, model: str, progress: Progress, predecessor: Evidence | None = None
    ) -> Analysis:
        """Analyse a folder of DICOM files; see ``analyse_study`` for errors.

        Parameters
        ----------
        model : str
            ``name`` or ``name:version``.
        predecessor : Evidence or None
            The structured report that the new one takes the place of.
        """
        settings = self._settings
        return analyse_study(
            open_study=lambda: open_study(settings, study),
            model=self._model(model),
            parameters=AnalysisParameters(
                chunk_slices=settings.chunk_slices,
                software_version=__version__,
                installation_id=settings.installation_id,
                overrides=self._overrides,
                report_title=settings.report_title,
                key_image=settings.key_image,
                segmentation_form=settings.segmentation_form,
                predecessor=predecessor,
            ),
            progress=progress,
            clock=time.monotonic,
        )

    def probe(self) -> str:
        """Run a tiny inference with the default model; return the execution provider's name."""
        model = self._model(self._settings.default_model)
        spec = model.spec
        side = PROBE_TILES * spec.input.divisor
        roles = len(spec.input.roles)
        state = np.zeros((2, spec.state_channels, PROBE_TILES, PROBE_TILES), np.float32)
        slices = PROBE_SLICES + 2 * spec.input.neighbours
        sequences = np.zeros((slices, roles, side, side), np.float32)
        model.predictor.predict(sequences, np.zeros(roles, np.float32), state, state)
        return model.execution_provider

    def _model(self, wanted: str) -> LoadedModel:
        folder = find_model(self._settings.models_dir, wanted)
        if folder not in self._models:
            self._models[folder] = self._open(folder)
        return self._models[folder]

    def _open(self, folder: Path) -> LoadedModel:
        spec = read_spec(folder)
        predictor = OnnxPredictor(
            folder / "model.onnx",
            spec,
            device=self._settings.device,
            threads=self._settings.inference_threads,
        )
        return LoadedModel(spec, predictor, predictor.execution_provider)


def structured_report_in(results: Path) -> Evidence | None:
    """Say which structured report a folder of results holds.

    None if they were deleted since, or are damaged: that must not hold up the new ones.
    """
    if not (results / ResultFile.STRUCTURED_REPORT).exists():
        return None
    try:
        (read,) = read_objects(results, [ObjectKind.STRUCTURED_REPORT])
    except StorageError as exc:
        _log.warning("predecessor_not_read", code=exc.code)
        return None
    return Evidence(str(read.series_instance_uid), str(read.sop_class_uid), read.sop_instance_uid)
