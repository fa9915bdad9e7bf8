"""Every error as a problem detail (RFC 9457): what, why, and who can fix it."""

from http import HTTPStatus
from typing import Any, cast

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from service.domain import errors

MEDIA_TYPE = "application/problem+json"
CALLER = "caller of the API"

# What is done takes minutes rather than seconds.
RETRY_AFTER_S = 30

_log = structlog.get_logger(__name__)

# The nearest class of an error's ancestry counts.
STATUS: dict[type[errors.ThrombolensError], int] = {
    errors.MalformedUploadError: 400,
    errors.LimitExceededError: 413,
    errors.UnknownModelError: 422,
    errors.UnknownSourceError: 404,
    errors.StudyNotFoundError: 404,
    errors.SourceError: 502,
    errors.BusyError: 503,
    errors.InputError: 422,
    errors.UnknownJobError: 404,
    errors.UnknownDeliveryError: 404,
    errors.ResultNotAvailableError: 404,
    errors.IllegalTransitionError: 409,
    errors.StorageError: 507,
    errors.ConfigurationError: 503,
    errors.ThrombolensError: 500,
}

EXAMPLES: dict[int, tuple[str, str, str]] = {
    400: ("MALFORMED_UPLOAD", "the body ends before its last boundary", "sender of the study"),
    401: ("UNAUTHORIZED", "a bearer token is needed", CALLER),
    404: ("UNKNOWN_JOB", "there is no job '4f0c'", CALLER),
    405: ("METHOD_NOT_ALLOWED", "Method Not Allowed", CALLER),
    409: ("ILLEGAL_TRANSITION", "job 4f0c is SUCCEEDED, it cannot be CANCELLING", CALLER),
    413: ("LIMIT_EXCEEDED", "more than 2147483648 bytes were sent", "sender of the study"),
    415: ("UNSUPPORTED_MEDIA_TYPE", "send multipart/related", CALLER),
    422: ("UNKNOWN_MODEL", "no model 'x'; installed: ...", errors.UnknownModelError.fixed_by),
    500: ("INTERNAL_ERROR", "something went wrong inside", "developers of Thrombolens"),
    502: ("SOURCE_FAILED", "QIDO-RS answered HTTP 500", errors.SourceError.fixed_by),
    503: ("NO_WORKER", "no worker answered within 5 s", "operator of the service"),
    507: ("STORAGE_FAILED", "the disk did not take the upload", "operator of the service"),
}


class Problem(BaseModel):
    """A problem detail as in RFC 9457, with two members of our own."""

    type: str = Field(description="URN of the kind of problem.")
    title: str = Field(description="The kind of problem in words.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="What happened this time; never holds a patient's identity.")
    instance: str = Field(description="Path of the request.")
    code: str = Field(description="Stable name of the reason.")
    fixed_by: str = Field(description="Who can do something about it.")


def make_problem(status: int, code: str, detail: str, fixed_by: str, instance: str) -> Problem:
    """Return a problem detail; type and title follow from the code."""
    return Problem(
        type=f"urn:thrombolens:problem:{code.lower().replace('_', '-')}",
        title=code.replace("_", " ").capitalize(),
        status=status,
        detail=detail,
        instance=instance,
        code=code,
        fixed_by=fixed_by,
    )


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return OpenAPI responses for problems of these statuses, with examples."""
    return {status: _document(status) for status in sorted({*statuses, 500})}


def _document(status: int) -> dict[str, Any]:
    code, detail, fixed_by = EXAMPLES[status]
    example = make_problem(status, code, detail, fixed_by, "/jobs/4f0c").model_dump()
    return {
        "description": HTTPStatus(status).phrase,
        "content": {
            MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}, "example": example}
        },
    }


def status_of(error: errors.ThrombolensError) -> int:
    """Return the HTTP status of an error of ours."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def install(app: FastAPI) -> None:
    """Answer every error of an application with a problem detail."""
    app.add_exception_handler(errors.ThrombolensError, _on_own_error)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(Exception, _on_unexpected_error)


def _answer(request: Request, status: int, code: str, detail: str, fixed_by: str) -> JSONResponse:
    problem = make_problem(status, code, detail, fixed_by, request.url.path)
    return JSONResponse(problem.model_dump(), status_code=status, media_type=MEDIA_TYPE)


async def _on_own_error(request: Request, exc: Exception) -> JSONResponse:
    error = cast("errors.ThrombolensError", exc)
    status = status_of(error)
    if status >= 500:
        _log.warning("request_failed", code=error.code, status=status)
    answer = _answer(request, status, error.code, str(error), error.fixed_by)
    if isinstance(error, errors.BusyError):
        answer.headers["Retry-After"] = str(RETRY_AFTER_S)
    return answer


async def _on_invalid_request(request: Request, exc: Exception) -> JSONResponse:
    faults = cast("RequestValidationError", exc).errors()
    detail = "; ".join(f"{'.'.join(map(str, f['loc']))}: {f['msg']}" for f in faults)
    return _answer(request, 422, "INVALID_REQUEST", detail, CALLER)


async def _on_http_error(request: Request, exc: Exception) -> JSONResponse:
    error = cast("HTTPException", exc)
    code = HTTPStatus(error.status_code).name
    answer = _answer(request, error.status_code, code, str(error.detail), CALLER)
    answer.headers.update(error.headers or {})
    return answer


async def _on_unexpected_error(request: Request, exc: Exception) -> JSONResponse:
    _log.error("request_crashed", error=type(exc).__name__)
    kind = errors.ThrombolensError
    detail = "something went wrong inside; the log of the service says where"
    return _answer(request, 500, kind.code, detail, kind.fixed_by)
