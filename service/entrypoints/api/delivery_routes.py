"""Doors for deliveries: what became of a job's results, and once more."""

from typing import Annotated

from fastapi import APIRouter
from fastapi import Path as PathParameter

from service.entrypoints.api.delivery_schemas import DELIVERY_ID, DeliveryList, DeliveryView
from service.entrypoints.api.job_routes import JobId
from service.entrypoints.api.problems import documented
from service.entrypoints.api.study_routes import GatewayOf

router = APIRouter(prefix="/jobs/{job_id}/deliveries", tags=["deliveries"])

DeliveryId = Annotated[
    str, PathParameter(description="Identifier of the delivery.", examples=[DELIVERY_ID])
]


@router.get(
    "",
    summary="List the deliveries of a job",
    response_description="State, attempts and answers, by destination",
    responses=documented(404, 503),
)
def list_deliveries(job_id: JobId, gateway: GatewayOf) -> DeliveryList:
    """Show who gets the results of a job, and what every receiver said about each object."""
    job = gateway.database.get(job_id)
    found = gateway.deliveries.of_job(job.job_id)
    return DeliveryList(deliveries=[DeliveryView.of(each) for each in found])


@router.post(
    "/{delivery_id}/resend",
    status_code=202,
    summary="Deliver again",
    response_description="The delivery, to be sent at once",
    responses=documented(404, 409, 503),
)
def resend(job_id: JobId, delivery_id: DeliveryId, gateway: GatewayOf) -> DeliveryView:
    """Send what the receiver does not hold, or all of it if it holds everything, once more."""
    return DeliveryView.of(gateway.resend(job_id, delivery_id))
