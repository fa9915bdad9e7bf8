"""Models and classified studies as the API shows them."""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field

from service.domain.classification_report import (
    ClassificationReport,
    ListedSeries,
    ListedStudy,
)
from service.domain.model_spec import ModelSpec
from service.domain.report import RESEARCH_USE_NOTICE
from service.domain.sequence import Role

SERIES_EXAMPLE: dict[str, Any] = {
    "series_instance_uid": "1.2.826.0.1.3680043.8.498.1",
    "study_instance_uid": "1.2.826.0.1.3680043.8.498.9",
    "series_number": 4,
    "series_description": "SWI_Images",
    "modality": "MR",
    "instances": 64,
    "volumes": [
        {
            "label": "SWI",
            "confidence": 0.97,
            "role": "SUSC",
            "evidence": [
                {
                    "rule_id": "swi-type",
                    "attribute": "ImageType",
                    "value": "SWI",
                    "label": "SWI",
                    "direction": "for",
                    "weight": 9.0,
                }
            ],
            "reason": None,
            "reason_code": None,
            "role_reason": "the only one",
            "override_id": None,
            "volume_id": "1.2.826.0.1.3680043.8.498.1",
            "split": {},
            "slices": 64,
        }
    ],
}


class ModelView(BaseModel):
    """An installed model."""

    name: str
    version: str
    sha256: str
    roles: list[Role]
    threshold: float
    min_volume_mm3: float
    peak: float
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
            peak=spec.peak,
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
                            "version": "1.0.0",
                            "sha256": "0" * 64,
                            "roles": ["SUSC", "PHASE", "DWI", "ADC", "FLAIR", "TOF"],
                            "threshold": 0.5,
                            "min_volume_mm3": 5.0,
                            "peak": 0.9,
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
    """What would be used of one or more studies, and why; nothing was analysed."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "study_instance_uid": "1.2.826.0.1.3680043.8.498.9",
                    "studies": [
                        {
                            "study_instance_uid": "1.2.826.0.1.3680043.8.498.9",
                            "missing_roles": ["PHASE", "TOF"],
                            "derived_roles": {},
                            "duplicate_instances": 0,
                        }
                    ],
                    "series": [SERIES_EXAMPLE],
                    "pixels_read": True,
                    "ignored_files": 1,
                    "damaged_files": [],
                    "research_use_notice": RESEARCH_USE_NOTICE,
                }
            ]
        }
    )

    study_instance_uid: str | None = Field(
        description="Null if there are several studies or none; then each series names its own."
    )
    studies: list[ListedStudy]
    series: list[ListedSeries]
    pixels_read: bool = Field(description="Whether pixels could add to the evidence.")
    ignored_files: int = Field(description="Files that are not DICOM.")
    damaged_files: list[str] = Field(
        description="What is wrong with files that are DICOM; those with a whole header count."
    )
    research_use_notice: str

    @classmethod
    def of(cls, report: ClassificationReport) -> Self:
        """Show a classification."""
        return cls(
            study_instance_uid=report.study_instance_uid,
            studies=list(report.studies),
            series=list(report.series),
            pixels_read=report.pixels_read,
            ignored_files=report.ignored_files,
            damaged_files=list(report.damaged_files),
            research_use_notice=report.research_use_notice,
        )
