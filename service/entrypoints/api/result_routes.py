"""Doors for what a job leaves: report, segmentation, mask, key images."""

from pathlib import Path
from typing import Any

from fastapi import APIRouter
from fastapi.responses import FileResponse, Response

from service.adapters.fhir_json import report_to_fhir
from service.adapters.report_json import report_from_json
from service.bootstrap.gateway import Gateway
from service.domain.errors import ResultNotAvailableError
from service.domain.finding import StudyResult
from service.domain.job import Job
from service.domain.report import SCHEMA_VERSION, DetectionReport
from service.entrypoints.api.job_routes import JobId
from service.entrypoints.api.job_schemas import RESULT_LINKS
from service.entrypoints.api.problems import documented
from service.entrypoints.api.study_routes import GatewayOf

router = APIRouter(prefix="/jobs", tags=["results"])

FHIR = "application/fhir+json"
REPORT_EXAMPLE = {
    "application/json": {
        "example": {
            "schema_version": SCHEMA_VERSION,
            "result": "no_thrombus_found",
            "findings": [],
            "missing_roles": ["TOF"],
            "warnings": [],
        }
    }
}


def binary(media_type: str, description: str) -> dict[int | str, dict[str, Any]]:
    """Return OpenAPI responses of a result file, and of its absence."""
    content = {
        media_type: {"schema": {"type": "string", "format": "binary"}, "example": "(binary)"}
    }
    return {200: {"description": description, "content": content}, **documented(404, 503)}


@router.get(
    "/{job_id}/report",
    summary="Get the detection report",
    response_class=FileResponse,
    response_description="What was found, and everything about how",
    # The class of the response hides the model of an ordinary one.
    responses={200: {"model": DetectionReport, "content": REPORT_EXAMPLE}, **documented(404, 503)},
)
def get_report(job_id: JobId, gateway: GatewayOf) -> FileResponse:
    """Return the JSON report, which every succeeded job has, a negative one too."""
    return _result(gateway, job_id, "report", "application/json")


@router.get(
    "/{job_id}/structured-report",
    summary="Get the DICOM structured report",
    response_class=FileResponse,
    responses=binary("application/dicom", "Comprehensive 3D SR (TID 1500), unverified"),
)
def get_structured_report(job_id: JobId, gateway: GatewayOf) -> FileResponse:
    """Return the structured report, which every succeeded job has, a negative one too."""
    return _result(gateway, job_id, "structured-report", "application/dicom")


@router.get(
    "/{job_id}/segmentation",
    summary="Get the DICOM segmentation",
    response_class=FileResponse,
    responses=binary("application/dicom", "DICOM-SEG on the grid of the reference series"),
)
def get_segmentation(job_id: JobId, gateway: GatewayOf) -> FileResponse:
    """Return the DICOM-SEG; a study without findings has none."""
    return _result(gateway, job_id, "segmentation", "application/dicom")


@router.get(
    "/{job_id}/mask",
    summary="Get the mask as NIfTI",
    response_class=FileResponse,
    responses=binary("application/gzip", "Gzipped NIfTI; each finding has its number"),
)
def get_mask(job_id: JobId, gateway: GatewayOf) -> FileResponse:
    """Return the mask on the grid of the reference series."""
    return _result(gateway, job_id, "mask", "application/gzip")


@router.get(
    "/{job_id}/preview",
    summary="Get the key images",
    response_class=FileResponse,
    responses=binary("image/png", "One picture with the findings outlined"),
)
def get_preview(job_id: JobId, gateway: GatewayOf) -> FileResponse:
    """Return the picture for people."""
    return _result(gateway, job_id, "preview", "image/png")


@router.get(
    "/{job_id}/key-image",
    summary="Get the key images as DICOM",
    response_class=FileResponse,
    responses=binary("application/dicom", "Secondary capture of the preview"),
)
def get_key_image(job_id: JobId, gateway: GatewayOf) -> FileResponse:
    """Return the preview as secondary capture, if the installation writes it."""
    return _result(gateway, job_id, "key-image", "application/dicom")


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
    report = report_from_json(_path_of(gateway, job_id, "report").read_bytes())
    return Response(report_to_fhir(report), media_type=FHIR)


def _result(gateway: Gateway, job_id: str, link: str, media_type: str) -> FileResponse:
    path = _path_of(gateway, job_id, link)
    return FileResponse(path, media_type=media_type, filename=f"{job_id}-{path.name}")


def _path_of(gateway: Gateway, job_id: str, link: str) -> Path:
    job = gateway.database.get(job_id)
    path = _result_path(gateway, job, RESULT_LINKS[link])
    if path is None:
        raise ResultNotAvailableError(f"there is no {link}: {_why_not(job, link)}")
    return path


def _result_path(gateway: Gateway, job: Job, name: str) -> Path | None:
    if job.outcome is None or job.results_lease is None or name not in job.outcome.files:
        return None
    path = gateway.folders.results(job.job_id, job.results_lease) / name
    return path if path.is_file() else None


def _why_not(job: Job, link: str) -> str:
    if job.outcome is None:
        return f"the job is {job.state}"
    if RESULT_LINKS[link] in job.outcome.files:
        return "its file was deleted"
    if job.outcome.result == StudyResult.INSUFFICIENT_INPUT:
        return "the study could not be analysed, its report says why"
    if link == "segmentation" and job.outcome.result == StudyResult.NO_THROMBUS_FOUND:
        return "no thrombus was found, and an empty one is never written"
    if link == "key-image":
        return "THROMBOLENS_KEY_IMAGE was not set when the study was analysed"
    return "the analysis did not write it"
