"""The door for those who want to know what arrives."""

from typing import Annotated

from fastapi import APIRouter, Query

from service.entrypoints.api.arrival_schemas import ArrivalList, ArrivalView
from service.entrypoints.api.problems import documented
from service.entrypoints.api.study_routes import GatewayOf

router = APIRouter(prefix="/arrivals", tags=["studies"])


@router.get(
    "",
    summary="List arriving studies",
    response_description="Studies that sources sent, the one that came last first",
    responses=documented(422, 503),
)
def list_arrivals(
    gateway: GatewayOf,
    limit: Annotated[int, Query(ge=1, le=500, description="Most studies to show.")] = 50,
) -> ArrivalList:
    """Show what came of every study, what it waits for, and the job it was started with."""
    found = gateway.arrivals.database.recent(limit)
    return ArrivalList(arrivals=[ArrivalView.of(each) for each in found])
