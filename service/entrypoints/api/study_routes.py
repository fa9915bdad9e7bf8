"""Doors for studies: segment, classify; and the models there are."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from service.bootstrap.gateway import Gateway
from service.entrypoints.api.job_schemas import JOB_ID, JobView
from service.entrypoints.api.problems import documented
from service.entrypoints.api.study_schemas import ClassificationView, ModelList, ModelView
from service.entrypoints.api.uploads import SINGLE_FILE, receive_upload

router = APIRouter(tags=["studies"])


def gateway_of(request: Request) -> Gateway:
    """Return the gateway that the application was made with."""
    gateway: Gateway = request.app.state.gateway
    return gateway


GatewayOf = Annotated[Gateway, Depends(gateway_of)]

_FILE = {"type": "string", "format": "binary"}
UPLOAD_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "One zip, or any number of DICOM files, in fields of any name. "
        "Or one zip or DICOM file as the whole body, the model then as a query parameter.",
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "files": {"type": "array", "items": _FILE},
                        "model": {
                            "type": "string",
                            "description": "A model's name, or name:version.",
                        },
                    },
                    "required": ["files"],
                },
                "example": {"files": ["study.zip"], "model": "upattllstm-thrombus"},
            },
            **{media_type: {"schema": _FILE} for media_type in SINGLE_FILE},
        },
    }
}
MODEL_PARAMETER: dict[str, Any] = {
    "parameters": [
        {
            "name": "model",
            "in": "query",
            "required": False,
            "description": "A model's name, or name:version, where the body is one file.",
            "schema": {"type": "string"},
            "example": "upattllstm-thrombus",
        }
    ]
}


@router.post(
    "/segment",
    status_code=202,
    summary="Analyse a study",
    response_description="The job that was queued",
    responses={
        202: {
            "headers": {
                "Location": {
                    "description": "Path of the job.",
                    "schema": {"type": "string", "example": f"/jobs/{JOB_ID}"},
                }
            }
        },
        **documented(400, 413, 422, 503, 507),
    },
    openapi_extra=UPLOAD_BODY | MODEL_PARAMETER,
)
async def segment(request: Request, response: Response, gateway: GatewayOf) -> JobView:
    """Take one MR study, queue it, and answer at once with the job that will analyse it."""
    with gateway.incoming() as incoming:
        wanted = await receive_upload(request, incoming)
        model = await run_in_threadpool(gateway.model_name, wanted)
        job = await run_in_threadpool(gateway.receive, incoming.folder, model)
    response.headers["Location"] = f"/jobs/{job.job_id}"
    return JobView.of(job)


@router.post(
    "/classify",
    summary="Say what would be used of a study, and why",
    response_description="Every volume with its label, evidence, role or reason why it is not used",
    responses=documented(400, 413, 422, 507),
    openapi_extra=UPLOAD_BODY,
)
async def classify(
    request: Request,
    gateway: GatewayOf,
    pixels: Annotated[
        bool, Query(description="Read pixels where headers leave doubt; without, faster.")
    ] = True,
) -> ClassificationView:
    """Look at one or more studies; no job is made and nothing is kept."""
    with gateway.incoming() as incoming:
        await receive_upload(request, incoming)
        report = await run_in_threadpool(gateway.classify, incoming.folder, with_pixels=pixels)
    return ClassificationView.of(report)


@router.get(
    "/models",
    summary="List the installed models",
    response_description="All models, by name and version",
    responses=documented(503),
    tags=["models"],
)
def models(gateway: GatewayOf) -> ModelList:
    """Show what every model takes, how it was trained and what was measured."""
    specs = gateway.models()
    default = gateway.model_name(None) if specs else ""
    return ModelList(
        models=[ModelView.of(s, default=f"{s.name}:{s.version}" == default) for s in specs]
    )
