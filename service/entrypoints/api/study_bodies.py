"""What the doors for studies take, as OpenAPI describes it."""

from typing import Any

from service.entrypoints.api.arrival_schemas import FETCH_EXAMPLE, FetchRequest
from service.entrypoints.api.fetch_requests import JSON
from service.entrypoints.api.uploads import SINGLE_FILE

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
FETCH_BODY = {
    **UPLOAD_BODY["requestBody"]["content"],
    JSON: {
        "schema": FetchRequest.model_json_schema(),
        "example": FETCH_EXAMPLE,
    },
}
SEGMENT_BODY: dict[str, Any] = {
    "requestBody": {
        **UPLOAD_BODY["requestBody"],
        "description": UPLOAD_BODY["requestBody"]["description"]
        + " Or, as JSON, a study that is fetched from a source.",
        "content": FETCH_BODY,
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
