"""Real human studies of five vendors through the whole path, with the released weights."""

import json
from io import BytesIO
from pathlib import Path

import jsonschema
import pytest
from highdicom.seg import segread

from service.adapters.analysis_files import analysis_files
from service.application.analyse_study import Analysis
from service.bootstrap.analysis import Analyser
from service.domain.finding import StudyResult
from service.domain.sequence import Role
from service.settings import Settings
from tests.fakes import Silent

pytestmark = pytest.mark.real_data

ROOT = Path(__file__).resolve().parents[2]
# Study, roles that its series fill.
STUDIES = {
    "siemens_xa30_prisma_human": {Role.DWI, Role.ADC},
    "siemens_e11_prisma_human": {Role.DWI},
    "uih_umr770_human_a": {Role.DWI},
    "toshiba_galan_human": {Role.DWI},
    "philips_achieva_human_dti": {Role.DWI},
    "ge_signa_human_pd": set(),
}


@pytest.fixture(scope="module")
def analyser() -> Analyser:
    return Analyser(Settings(models_dir=ROOT / "models"))


def analyse(analyser: Analyser, study: Path) -> Analysis:
    return analyser.analyse(study, "upattllstm-thrombus", Silent())


@pytest.mark.parametrize(("name", "roles"), STUDIES.items())
def test_every_real_study_ends_with_a_report(
    analyser: Analyser, shared_data: Path, name: str, roles: set[Role]
) -> None:
    analysis = analyse(analyser, shared_data / "dicom" / name)
    report, files = analysis.report, analysis_files(analysis)

    schema = json.loads((ROOT / "docs" / "report-schema.json").read_text())
    jsonschema.validate(json.loads(files["report.json"]), schema)
    assert set(Role) - set(report.missing_roles) == roles
    if not roles:
        assert report.result is StudyResult.INSUFFICIENT_INPUT
        assert report.insufficiency
        return
    assert report.result is not StudyResult.INSUFFICIENT_INPUT
    assert report.timings_s["infer"] > 0
    assert report.reference_role is Role.DWI
    if report.findings:
        read = segread(BytesIO(files["segmentation.dcm"]))
        assert read.number_of_segments == len(report.findings)
