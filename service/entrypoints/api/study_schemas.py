"""Models and classified studies as the API shows them."""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field

from service.domain.model_spec import ModelSpec
from service.domain.report import RESEARCH_USE_NOTICE, ReportedVolume
from service.domain.sequence import Role
from service.domain.study import DetectedSequences, StudyFacts
from service.stages.write_report import reported_volumes

VOLUME_EXAMPLE: dict[str, Any] = {
    "volume_id": "1.2.826.0.1.3680043.8.498.1#magnitude",
    "series_instance_uid": "1.2.826.0.1.3680043.8.498.1",
    "series_number": 4,
    "series_description": "SWI",
    "split": {},
    "slices": 64,
    "label": "SWI",
    "confidence": 0.97,
    "evidence": [
        {
            "rule_id": "swi-image-type",
            "attribute": "ImageType",
            "value": "ORIGINAL\\PRIMARY\\M\\SWI",
            "label": "SWI",
            "weight": 4.0,
        }
    ],
    "role": "SUSC",
    "role_reason": "the only susceptibility-weighted volume",
    "rejection_code": None,
    "rejection_detail": None,
}


class ModelView(BaseModel):
    """An installed model."""

    name: str
    version: str
    sha256: str
    roles: list[Role]
    threshold: float
    min_volume_mm3: float
    default: bool = Field(description="Used when a request names no model.")
    intended_use: str
    training_data: str
    expected_performance: dict[str, Any]

    @classmethod
    def of(cls, spec: ModelSpec, *, default: bool) -> Self:
        """Show a model."""
        return cls(
            name=spec.name,
            version=spec.version,
            sha256=spec.sha256,
            roles=list(spec.input.roles),
            threshold=spec.threshold,
            min_volume_mm3=spec.min_volume_mm3,
            default=default,
            intended_use=spec.intended_use,
            training_data=spec.training_data,
            expected_performance=dict(spec.expected_performance),
        )


class ModelList(BaseModel):
    """All installed models, by name and version."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "models": [
                        {
                            "name": "upattllstm-thrombus",
                            "version": "0.1.0",
                            "sha256": "0" * 64,
                            "roles": ["SUSC", "PHASE", "DWI", "ADC", "FLAIR", "TOF"],
                            "threshold": 0.5,
                            "min_volume_mm3": 5.0,
                            "default": True,
                            "intended_use": "research",
                            "training_data": "simulated studies",
                            "expected_performance": {},
                        }
                    ]
                }
            ]
        }
    )

    models: list[ModelView]


class ClassificationView(BaseModel):
    """What would be used of a study, and why; nothing was analysed."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "study_instance_uid": "1.2.826.0.1.3680043.8.498.9",
                    "volumes": [VOLUME_EXAMPLE],
                    "derived_roles": {},
                    "missing_roles": ["PHASE", "TOF"],
                    "ignored_files": 1,
                    "duplicate_instances": 0,
                    "research_use_notice": RESEARCH_USE_NOTICE,
                }
            ]
        }
    )

    study_instance_uid: str
    volumes: list[ReportedVolume]
    derived_roles: dict[Role, list[str]] = Field(
        description="Roles computed from several volumes, and the identifiers of these."
    )
    missing_roles: list[Role]
    ignored_files: int = Field(description="Files that are not DICOM.")
    duplicate_instances: int
    research_use_notice: str = RESEARCH_USE_NOTICE

    @classmethod
    def of(cls, study: StudyFacts, detected: DetectedSequences) -> Self:
        """Show a classified study."""
        return cls(
            study_instance_uid=study.study_instance_uid,
            volumes=list(reported_volumes(detected)),
            derived_roles={
                role: [found.volume.volume_id for found in sources]
                for role, sources in detected.derived_roles.items()
            },
            missing_roles=list(detected.missing_roles),
            ignored_files=study.ignored_files,
            duplicate_instances=study.duplicate_instances,
        )
