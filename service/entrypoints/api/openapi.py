"""The OpenAPI document, completed where the framework leaves gaps."""

from typing import Any

from fastapi import FastAPI

from service.entrypoints.api.arrival_schemas import ArrivalList, ArrivalView
from service.entrypoints.api.delivery_schemas import DeliveryList, DeliveryView
from service.entrypoints.api.health_schemas import ReadyView
from service.entrypoints.api.job_schemas import JobList, JobView
from service.entrypoints.api.problems import Problem, documented
from service.entrypoints.api.study_schemas import ClassificationView, ModelList

FRAMEWORK_SCHEMAS = ("HTTPValidationError", "ValidationError")
MODELS = (
    ArrivalList,
    ArrivalView,
    ClassificationView,
    DeliveryList,
    DeliveryView,
    JobList,
    JobView,
    ModelList,
    ReadyView,
)


def install(app: FastAPI) -> None:
    """Make an application describe all its errors as problem details."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        return complete(generate())

    app.openapi = openapi  # type: ignore[method-assign]


def complete(document: dict[str, Any]) -> dict[str, Any]:
    """Return the document with problem details for invalid requests, and whole examples."""
    schemas = document["components"]["schemas"]
    for name in FRAMEWORK_SCHEMAS:
        schemas.pop(name, None)
    schemas["Problem"] = Problem.model_json_schema()
    # The framework drops nulls, also those that say something in an example.
    for model in MODELS:
        schemas[model.__name__]["examples"] = model.model_json_schema()["examples"]
    for operations in document["paths"].values():
        for operation in operations.values():
            _replace_invalid_request(operation["responses"])
    return document


def _replace_invalid_request(responses: dict[str, Any]) -> None:
    if "application/json" in responses.get("422", {}).get("content", {}):
        responses["422"] = documented(422)[422]
