"""The door for STOW-RS (PS3.18 section 10.5)."""

import secrets
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi import Path as PathParameter
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from service.adapters.dicom_json import MEDIA_TYPE
from service.adapters.multipart_related import RelatedParts
from service.bootstrap.gateway import Gateway
from service.domain.arrival import Source
from service.domain.errors import MalformedUploadError, UnknownSourceError
from service.entrypoints.api.problems import documented
from service.entrypoints.api.store_response import EXAMPLE, StoreResponse
from service.entrypoints.api.study_routes import GatewayOf
from service.entrypoints.api.uploads import stream_body

router = APIRouter(prefix="/dicom-web/studies", tags=["studies"])


class DicomJson(JSONResponse):
    """A data set in the DICOM JSON Model (PS3.18 annex F)."""

    media_type = MEDIA_TYPE


StudyUid = Annotated[
    str, PathParameter(description="Study Instance UID of all instances.", examples=["1.2.3"])
]
_BODY = 'multipart/related; type="application/dicom"'
_DOCUMENTED: dict[str, Any] = {
    "status_code": 200,
    "response_class": DicomJson,
    "response_description": "All were stored: the Store Instances Response",
    "responses": {
        200: {"content": {MEDIA_TYPE: {"schema": {"type": "object"}, "example": EXAMPLE}}},
        **documented(400, 401, 404, 413, 415, 503, 507),
    },
    "openapi_extra": {
        "requestBody": {
            "required": True,
            "description": "DICOM files (PS3.10), one a part, of any transfer syntax.",
            "content": {_BODY: {"schema": {"type": "string", "format": "binary"}}},
        }
    },
}


def sender(request: Request, gateway: GatewayOf) -> Source:
    """Return the source that this request comes from.

    Raises
    ------
    UnknownSourceError
        If nobody may store this way.
    HTTPException
        401, if the sender does not say the secret.
    """
    stow = gateway.arrivals.stow
    if stow is None:
        raise UnknownSourceError("there is no source of kind stow")
    if stow.bearer is not None:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        same = secrets.compare_digest(given.strip().encode(), stow.bearer.encode())
        if scheme.lower() != "bearer" or not same:
            raise HTTPException(401, "a bearer token is needed", {"WWW-Authenticate": "Bearer"})
    return stow.source


Sender = Annotated[Source, Depends(sender)]


@router.post("", summary="Store instances (STOW-RS)", **_DOCUMENTED)
async def store(request: Request, gateway: GatewayOf, source: Sender) -> DicomJson:
    """Take instances of any studies: 202 if only some were stored, 409 if none was.

    Studies start by the policy of the source.
    """
    return await _store(request, gateway, source, None)


@router.post("/{study}", summary="Store instances of one study (STOW-RS)", **_DOCUMENTED)
async def store_study(
    study: StudyUid, request: Request, gateway: GatewayOf, source: Sender
) -> DicomJson:
    """Take instances of one study, as above; those of another one are refused."""
    return await _store(request, gateway, source, study)


async def _store(
    request: Request, gateway: Gateway, source: Source, study: str | None
) -> DicomJson:
    response = StoreResponse(gateway.arrivals.receiver, source, study)
    with gateway.arrivals.incoming() as incoming:
        try:
            parts = RelatedParts(request.headers.get("content-type", ""), incoming)
        except MalformedUploadError as exc:
            raise HTTPException(415, f"send {_BODY}: {exc}") from exc
        await stream_body(request, parts.feed, incoming.max_bytes)
        parts.finish()
        if not parts.parts:
            raise MalformedUploadError("the body holds no part")
        for file in await run_in_threadpool(incoming.files):
            await run_in_threadpool(response.receive, file)
    return DicomJson(response.body(), response.status)
