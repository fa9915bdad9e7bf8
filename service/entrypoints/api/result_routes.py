"""Doors for what a job leaves: reports, segmentation, mask, key images."""

from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter
from fastapi.responses import FileResponse, Response

from service.adapters.fhir_json import report_to_fhir
from service.adapters.report_json import report_from_json
from service.domain.report import SCHEMA_VERSION, DetectionReport
from service.domain.result_file import ResultFile
from service.entrypoints.api.found_results import path_of
from service.entrypoints.api.job_routes import JobId
from service.entrypoints.api.problems import documented
from service.entrypoints.api.study_routes import GatewayOf

router = APIRouter(prefix="/jobs", tags=["results"])

JSON = "application/json"
DICOM = "application/dicom"
FHIR = "application/fhir+json"
REPORT_EXAMPLE = {
    JSON: {
        "example": {
            "schema_version": SCHEMA_VERSION,
            "result": "no_thrombus_found",
            "findings": [],
            "missing_roles": ["TOF"],
            "warnings": [],
        }
    }
}


@dataclass(frozen=True)
class ResultDoor:
    """A result file that is handed out as it lies there; the texts are for people."""

    file: ResultFile
    media_type: str
    content: str
    summary: str
    description: str

    def responses(self) -> dict[int | str, dict[str, Any]]:
        """Return OpenAPI responses of the file, and of its absence."""
        if self.file is ResultFile.REPORT:
            # The class of the response hides the model of an ordinary one.
            there: dict[str, Any] = {"model": DetectionReport, "content": REPORT_EXAMPLE}
        else:
            binary = {"schema": {"type": "string", "format": "binary"}, "example": "(binary)"}
            there = {"content": {self.media_type: binary}}
        return {200: there | {"description": self.content}, **documented(404, 503)}

    def open(self, job_id: JobId, gateway: GatewayOf) -> FileResponse:
        """Hand it out."""
        path = path_of(gateway, job_id, self.file)
        return FileResponse(path, media_type=self.media_type, filename=f"{job_id}-{path.name}")


DOORS = (
    ResultDoor(
        ResultFile.REPORT,
        JSON,
        "What was found, and everything about how",
        "Get the detection report",
        "Return the JSON report, which every succeeded job has, a negative one too.",
    ),
    ResultDoor(
        ResultFile.STRUCTURED_REPORT,
        DICOM,
        "Comprehensive 3D SR (TID 1500), unverified",
        "Get the DICOM structured report",
        "Return the structured report, which every succeeded job has, a negative one too.",
    ),
    ResultDoor(
        ResultFile.SEGMENTATION,
        DICOM,
        "DICOM-SEG on the grid of the reference series",
        "Get the DICOM segmentation",
        "Return the DICOM-SEG; a study without findings has none.",
    ),
    ResultDoor(
        ResultFile.MASK,
        "application/gzip",
        "Gzipped NIfTI; each finding has its number",
        "Get the mask as NIfTI",
        "Return the mask on the grid of the reference series.",
    ),
    ResultDoor(
        ResultFile.PREVIEW,
        "image/png",
        "One picture with the findings outlined",
        "Get the key images",
        "Return the picture for people.",
    ),
    ResultDoor(
        ResultFile.KEY_IMAGE,
        DICOM,
        "Secondary capture of the preview",
        "Get the key images as DICOM",
        "Return the preview as secondary capture, if the installation writes it.",
    ),
)
for _door in DOORS:
    router.add_api_route(
        f"/{{job_id}}/{_door.file.link}",
        _door.open,
        name=f"get_{_door.file.name.lower()}",
        summary=_door.summary,
        description=_door.description,
        response_class=FileResponse,
        responses=_door.responses(),
    )


@router.get(
    "/{job_id}/fhir",
    summary="Get the detection report as FHIR",
    response_class=Response,
    responses={
        200: {
            "description": "Bundle of DiagnosticReport, Observations and Device (FHIR R4)",
            "content": {FHIR: {"schema": {"type": "object"}, "example": {"type": "collection"}}},
        },
        **documented(404, 503),
    },
)
def get_fhir(job_id: JobId, gateway: GatewayOf) -> Response:
    """Return the report as FHIR resources without a subject, which the receiver knows."""
    report = report_from_json(path_of(gateway, job_id, ResultFile.REPORT).read_bytes())
    return Response(report_to_fhir(report), media_type=FHIR)
