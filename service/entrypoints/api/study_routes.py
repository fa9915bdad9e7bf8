"""Doors for studies: segment, classify; and the models there are."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from service.bootstrap.gateway import Gateway
from service.domain.job import Job
from service.entrypoints.api.fetch_requests import is_json, receive_fetch_request
from service.entrypoints.api.job_schemas import JOB_ID, JobView
from service.entrypoints.api.problems import documented
from service.entrypoints.api.study_bodies import MODEL_PARAMETER, SEGMENT_BODY, UPLOAD_BODY
from service.entrypoints.api.study_schemas import ClassificationView, ModelList, ModelView
from service.entrypoints.api.uploads import receive_upload

router = APIRouter(tags=["studies"])


def gateway_of(request: Request) -> Gateway:
    """Return the gateway that the application was made with."""
    gateway: Gateway = request.app.state.gateway
    return gateway


GatewayOf = Annotated[Gateway, Depends(gateway_of)]


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
        **documented(400, 404, 413, 422, 502, 503, 507),
    },
    openapi_extra=SEGMENT_BODY | MODEL_PARAMETER,
)
async def segment(request: Request, response: Response, gateway: GatewayOf) -> JobView:
    """Take one MR study, queue it, and answer at once with the job that will analyse it.

    A study that is to be fetched is fetched before the answer. If all of it came before and was
    analysed, or will be, the answer is that job.
    """
    receive = _fetched if is_json(request) else _uploaded
    job = await receive(request, gateway)
    response.headers["Location"] = f"/jobs/{job.job_id}"
    return JobView.of(job)


async def _uploaded(request: Request, gateway: Gateway) -> Job:
    with gateway.incoming() as incoming:
        wanted = await receive_upload(request, incoming)
        model = await run_in_threadpool(gateway.model_name, wanted)
        return await run_in_threadpool(gateway.receive, incoming.folder, model)


async def _fetched(request: Request, gateway: Gateway) -> Job:
    wanted = await receive_fetch_request(request)
    return await run_in_threadpool(
        gateway.arrivals.fetch, wanted.dicomweb, wanted.study_instance_uid
    )


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
