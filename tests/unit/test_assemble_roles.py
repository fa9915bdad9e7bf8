"""A role whose volume cannot be made is lost with its reason; the others stay."""

from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from service.adapters.study_files import StudyFolder
from service.application.assemble_roles import AssembledRoles, assemble_roles
from service.domain.sequence import Role
from service.stages.detect_sequences import detect_sequences
from tests.strategies import mr_series, write_instances
from tests.tiny_model import small_head
from tests.unit.test_analyse_study import FLAIR, SWI
from tests.unit.test_detect_diffusion import DTI, directions


@pytest.fixture
def study(tmp_path: Path) -> StudyFolder:
    write_instances(mr_series(small_head(clot=True), **SWI), tmp_path / "swi")
    write_instances(mr_series(small_head(clot=True), **FLAIR), tmp_path / "flair")
    return StudyFolder.read(tmp_path, max_slices=1000)


def test_roles_are_assembled(study: StudyFolder) -> None:
    roles = assemble_roles(
        AssembledRoles(detect_sequences(study.facts)), study.datasets, tuple(Role)
    )
    assert set(roles.volumes) == {Role.SUSC, Role.FLAIR}
    assert roles.series_uid_of(Role.FLAIR) == FLAIR["SeriesInstanceUID"]


def test_undecodable_pixels_cost_the_role_not_the_study(study: StudyFolder) -> None:
    def damaged(series_uid: str) -> list[Dataset]:
        datasets = study.datasets(series_uid)
        if series_uid == FLAIR["SeriesInstanceUID"]:
            for dataset in datasets:
                del dataset.PixelData
        return datasets

    roles = assemble_roles(AssembledRoles(detect_sequences(study.facts)), damaged, tuple(Role))
    assert set(roles.volumes) == {Role.SUSC}
    assert Role.FLAIR in roles.detected.missing_roles
    (lost,) = [
        v for v in roles.detected.volumes if v.rejection and v.classification.label == "FLAIR"
    ]
    assert lost.rejection is not None
    assert "cannot be decoded" in lost.rejection.detail
    assert any("FLAIR is not used" in warning.detail for warning in roles.warnings)


@pytest.mark.parametrize(
    ("count", "code"), [(1, "SINGLE_DIRECTION"), (3, "DERIVED_VOLUME")], ids=["one", "three"]
)
def test_diffusion_without_a_trace_is_said(tmp_path: Path, count: int, code: str) -> None:
    instances = [instance for turn in directions(DTI, 1000, count) for instance in turn]
    write_instances(instances, tmp_path)
    study = StudyFolder.read(tmp_path, max_slices=1000)
    roles = assemble_roles(
        AssembledRoles(detect_sequences(study.facts)), study.datasets, tuple(Role)
    )
    assert set(roles.volumes) == {Role.DWI}
    assert [warning.code for warning in roles.warnings] == [code]
