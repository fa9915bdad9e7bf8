"""The detection report as JSON, and its JSON Schema, by pydantic.

``python -m service.adapters.report_json`` writes the schema to standard output; it is committed
as docs/report-schema.json.
"""

import dataclasses
import inspect
import json
import re
import sys
from typing import Any

from pydantic import TypeAdapter, ValidationError

from service.domain.errors import ResultNotAvailableError
from service.domain.finding import Finding
from service.domain.report import (
    SCHEMA_VERSION,
    DetectionReport,
    ReportedEvidence,
    ReportedExpectation,
    ReportedModel,
    ReportedRegistration,
    ReportedVolume,
    ReportWarning,
)

SCHEMA_ID = f"urn:thrombolens:detection-report:{SCHEMA_VERSION}"
DIALECT = "https://json-schema.org/draft/2020-12/schema"

_ADAPTER = TypeAdapter(DetectionReport)
_NESTED = (
    Finding,
    ReportedEvidence,
    ReportedExpectation,
    ReportedModel,
    ReportedRegistration,
    ReportedVolume,
    ReportWarning,
)
# "name, version : str" and the indented lines under it, in numpydoc's Attributes section.
_ATTRIBUTE = re.compile(r"^(\w+(?:, \w+)*) :.*\n((?: {4}.*\n?|\n(?= {4}))+)", re.MULTILINE)


def report_to_json(report: DetectionReport) -> bytes:
    """Return the report as indented UTF-8 JSON that the schema describes."""
    return _ADAPTER.dump_json(report, indent=2) + b"\n"


def report_from_json(document: bytes) -> DetectionReport:
    """Read what ``report_to_json`` writes.

    Raises
    ------
    ResultNotAvailableError
        If it is of another version of the schema.
    """
    try:
        return _ADAPTER.validate_json(document)
    except ValidationError as exc:
        raise ResultNotAvailableError(
            f"the report is not of schema {SCHEMA_VERSION}, for another version of the service "
            "wrote it: send the study again"
        ) from exc


def report_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of what ``report_to_json`` writes.

    Descriptions come from the docstrings of the classes in ``service.domain``.
    """
    schema = _ADAPTER.json_schema(mode="serialization")
    _describe(schema, DetectionReport)
    for kind in _NESTED:
        _describe(schema["$defs"][kind.__name__], kind)
    return {
        "$schema": DIALECT,
        "$id": SCHEMA_ID,
        **schema,
        "title": "Thrombolens detection report",
    }


def _describe(schema: dict[str, Any], kind: type) -> None:
    """Put the class's summary and the description of each attribute into its schema."""
    documentation = inspect.getdoc(kind) or ""
    summary, _, attributes = documentation.partition("\nAttributes\n----------\n")
    schema["description"] = " ".join(summary.split())
    described = {
        name: " ".join(text.split())
        for names, text in _ATTRIBUTE.findall(attributes)
        for name in names.split(", ")
    }
    for field in dataclasses.fields(kind):
        schema["properties"][field.name]["description"] = described[field.name]


def schema_to_json() -> str:
    """Return the schema as it is committed."""
    return json.dumps(report_schema(), indent=2) + "\n"


if __name__ == "__main__":
    sys.stdout.write(schema_to_json())
