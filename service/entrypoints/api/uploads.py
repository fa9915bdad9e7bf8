"""Uploads as they come over HTTP: streamed to disk piece by piece, measured on the way."""

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from python_multipart.multipart import parse_options_header
from starlette.requests import ClientDisconnect

from service.adapters.upload_files import IncomingUpload
from service.domain.errors import LimitExceededError, MalformedUploadError
from service.entrypoints.api.multipart_form import Feed, MultipartForm

MULTIPART = "multipart/form-data"
SINGLE_FILE = ("application/zip", "application/dicom", "application/octet-stream")


async def receive_upload(request: Request, incoming: IncomingUpload) -> str | None:
    """Write the body of a request into an upload, and complete it.

    Parameters
    ----------
    request : Request
        ``multipart/form-data`` with any number of files and maybe a field ``model``; or one file
        as the whole body.

    Returns
    -------
    str or None
        The field ``model``, or the query parameter of that name.

    Raises
    ------
    MalformedUploadError
        If the body is neither, or not complete.
    InputError, StorageError
        As ``IncomingUpload`` raises them.
    """
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    media_type = kind.decode("latin-1").lower()
    form = MultipartForm(incoming)
    if media_type == MULTIPART:
        feed, finish = form.begin(options.get(b"boundary", b""))
    elif media_type in SINGLE_FILE:
        incoming.begin_file()
        feed, finish = incoming.write, _nothing
    else:
        raise MalformedUploadError(f"send {MULTIPART}, or one file as {' or '.join(SINGLE_FILE)}")
    await stream_body(request, feed, incoming.max_bytes)
    finish()
    await run_in_threadpool(incoming.finish)
    return form.model or request.query_params.get("model")


async def stream_body(request: Request, feed: Feed, limit: int) -> None:
    """Pass the body on; refuse a body that is too large before reading it, if it says so.

    Every byte counts, form fields and headers of parts too. Writing to a slow disk holds up this
    request alone: it happens in a thread.
    """
    _check_announced(request, limit)
    received = 0
    try:
        async for chunk in request.stream():
            received += len(chunk)
            if received > limit:
                raise LimitExceededError(f"more than {limit} bytes were sent")
            await run_in_threadpool(feed, chunk)
    except ClientDisconnect as exc:
        raise MalformedUploadError("the connection was closed before the upload ended") from exc


def _check_announced(request: Request, limit: int) -> None:
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limit:
        raise LimitExceededError(f"the request announces more than {limit} bytes")


def _nothing() -> None:
    """Do nothing: a body of one file ends where it ends."""
