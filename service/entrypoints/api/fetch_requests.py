"""A request, as JSON, for a study that is to be fetched."""

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from service.domain.errors import LimitExceededError
from service.entrypoints.api.arrival_schemas import FetchRequest

JSON = "application/json"
LONGEST_REQUEST = 64 * 1024


def is_json(request: Request) -> bool:
    """Whether the body of a request says that it is JSON."""
    kind = request.headers.get("content-type", "").partition(";")[0]
    return kind.strip().lower() == JSON


async def receive_fetch_request(request: Request) -> FetchRequest:
    """Read which study is wanted.

    Raises
    ------
    LimitExceededError
        If the body is far too long.
    RequestValidationError
        If it does not say a study and a source.
    """
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > LONGEST_REQUEST:
            raise LimitExceededError(f"more than {LONGEST_REQUEST} bytes of JSON were sent")
    try:
        return FetchRequest.model_validate_json(bytes(body))
    except ValidationError as exc:
        raise RequestValidationError(exc.errors(include_input=False)) from exc
