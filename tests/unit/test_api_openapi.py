"""The OpenAPI document: every operation says what it does, answers, and refuses, with examples."""

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.api import ApiWorld

OPERATIONS = {
    "post /segment",
    "post /classify",
    "post /dicom-web/studies",
    "post /dicom-web/studies/{study}",
    "get /arrivals",
    "get /models",
    "get /jobs",
    "get /jobs/{job_id}",
    "delete /jobs/{job_id}",
    "get /jobs/{job_id}/events",
    "get /jobs/{job_id}/report",
    "get /jobs/{job_id}/segmentation",
    "get /jobs/{job_id}/fhir",
    "get /jobs/{job_id}/key-image",
    "get /jobs/{job_id}/structured-report",
    "get /jobs/{job_id}/mask",
    "get /jobs/{job_id}/preview",
    "get /jobs/{job_id}/deliveries",
    "post /jobs/{job_id}/deliveries/{delivery_id}/resend",
    "get /health/live",
    "get /health/ready",
    "get /metrics",
}


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    with ApiWorld(tmp_path_factory.mktemp("openapi")) as world:
        schema: dict[str, Any] = world.client.get("/openapi.json").json()
    return schema


def operation(document: dict[str, Any], name: str) -> dict[str, Any]:
    method, path = name.split(" ")
    found: dict[str, Any] = document["paths"][path][method]
    return found


def examples_of(document: dict[str, Any], content: dict[str, Any]) -> list[Any]:
    """Return examples given beside a schema or inside the model it refers to."""
    if "example" in content:
        return [content["example"]]
    reference = content["schema"].get("$ref", "")
    model = document["components"]["schemas"].get(reference.rsplit("/", 1)[-1], {})
    examples: list[Any] = model.get("examples", [])
    return examples


def test_the_document_names_exactly_these_operations(document: dict[str, Any]) -> None:
    found = {f"{method} {path}" for path, item in document["paths"].items() for method in item}
    assert found == OPERATIONS
    assert "Research use only" in document["info"]["description"]


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_every_operation_is_described(document: dict[str, Any], name: str) -> None:
    found = operation(document, name)
    assert found["summary"]
    assert found["description"]
    assert found["tags"]
    for parameter in found.get("parameters", []):
        assert parameter.get("description") or parameter["schema"].get("description"), parameter


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_every_success_has_content_and_an_example(document: dict[str, Any], name: str) -> None:
    responses = operation(document, name)["responses"]
    successes = {status: r for status, r in responses.items() if status in ("200", "202")}
    assert len(successes) == 1
    for response in successes.values():
        assert response["description"] != "Successful Response"
        for media_type, content in response["content"].items():
            assert examples_of(document, content), f"{name}: {media_type} has no example"


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_every_refusal_is_a_problem_with_an_example(document: dict[str, Any], name: str) -> None:
    responses = operation(document, name)["responses"]
    refusals = {status: r for status, r in responses.items() if int(status) >= 400}
    assert "500" in refusals
    if "{job_id}" in name:
        assert "404" in refusals
    validator = Draft202012Validator(document["components"]["schemas"]["Problem"])
    for status, response in refusals.items():
        (media_type,) = response["content"]
        assert media_type == "application/problem+json", f"{name} {status}"
        (example,) = examples_of(document, response["content"][media_type])
        validator.validate(example)
        assert example["status"] == int(status)


@pytest.mark.parametrize(
    "model",
    [
        "JobView",
        "JobList",
        "ModelList",
        "ClassificationView",
        "DeliveryView",
        "DeliveryList",
        "ArrivalView",
        "ArrivalList",
    ],
)
def test_examples_of_models_are_valid(document: dict[str, Any], model: str) -> None:
    schema = document["components"]["schemas"][model]
    whole = {**schema, "components": document["components"]}
    for example in schema["examples"]:
        Draft202012Validator(whole).validate(example)


@pytest.mark.parametrize("name", ["post /segment", "post /classify"])
def test_uploads_are_described(document: dict[str, Any], name: str) -> None:
    content = operation(document, name)["requestBody"]["content"]
    assert "example" in content["multipart/form-data"]
    assert set(content) >= {"multipart/form-data", "application/zip", "application/dicom"}


def test_no_schema_of_the_framework_leaks(document: dict[str, Any]) -> None:
    assert "HTTPValidationError" not in document["components"]["schemas"]
