"""The REST API as a page, from the OpenAPI document that the service itself gives."""

import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from schema_tables import object_table, type_of

from service.bootstrap.gateway import Gateway
from service.entrypoints.api.app import create_app
from service.settings import Settings

Part = Mapping[str, Any]


def openapi_document() -> dict[str, Any]:
    """Return the document of an API that is made for this and never listens."""
    # Whatever this machine serves besides is not touched.
    apart: dict[str, Any] = dict.fromkeys(
        ("broker_url", "database_url", "destinations", "sources", "sequence_overrides")
    )
    with tempfile.TemporaryDirectory() as folder:
        gateway = Gateway(Settings(data_dir=Path(folder), **apart))
        try:
            return create_app(gateway).openapi()
        finally:
            gateway.close()


def api_page() -> str:
    """Return every operation with its parameters and answers, then every object."""
    document = openapi_document()
    operations = [
        _operation(f"{method.upper()} {path}", operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    objects = (
        object_table({**schema, "title": name})
        for name, schema in document["components"]["schemas"].items()
    )
    return "\n".join(["## Operations", "", *operations, "## Objects", "", *objects])


def _operation(name: str, operation: Part) -> str:
    lines = [f"### {name}", "", f"{operation['summary']}", "", operation.get("description", ""), ""]
    lines += _parameters(operation.get("parameters", []))
    lines += _body(operation.get("requestBody", {}))
    lines += ["| status | answer | what |", "|---|---|---|"]
    for status, answer in operation["responses"].items():
        lines.append(f"| {status} | {answer['description']} | {_contents(answer)} |")
    return "\n".join([*lines, "", *_examples(operation["responses"])])


def _parameters(parameters: list[Part]) -> Iterator[str]:
    if not parameters:
        return
    yield from ("| parameter | in | type | meaning |", "|---|---|---|---|")
    for each in parameters:
        meaning = " ".join(each.get("description", "").split())
        yield f"| `{each['name']}` | {each['in']} | {type_of(each['schema'])} | {meaning} |"
    yield ""


def _body(body: Part) -> Iterator[str]:
    if body:
        kinds = ", ".join(f"`{kind}`" for kind in body["content"])
        yield from (f"Body: {kinds}. {body.get('description', '')}", "")


def _contents(answer: Part) -> str:
    told = []
    for kind, content in answer.get("content", {}).items():
        schema = content.get("schema", {})
        told.append(f"`{kind}`" + (f": {type_of(schema)}" if "$ref" in schema else ""))
    return ", ".join(told)


def _examples(answers: Part) -> Iterator[str]:
    """Give the example of success where there is one beside the schema."""
    for status, answer in answers.items():
        for content in answer.get("content", {}).values():
            if status.startswith("2") and isinstance(content.get("example"), dict | list):
                shown = json.dumps(content["example"], indent=2)
                yield from (f"Example of {status}:", "", "```json", shown, "```", "")
