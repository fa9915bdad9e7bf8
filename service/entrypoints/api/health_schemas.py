"""Health of the service as the API shows it."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field


class LiveView(BaseModel):
    """The process answers."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "live"}]})

    status: str = "live"


class ReadyView(BaseModel):
    """A worker analyses studies."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "status": "ready",
                    "evidence": "inference",
                    "execution_provider": "CPUExecutionProvider",
                    "checked_at": "2026-11-22T18:00:00Z",
                }
            ]
        }
    )

    status: str = "ready"
    evidence: str = Field(description="`inference`, or `running_job` where all workers are busy.")
    execution_provider: str | None
    checked_at: datetime
