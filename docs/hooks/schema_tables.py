"""Schemas of JSON objects as tables: of the report and of the API."""

import json
from collections.abc import Mapping
from typing import Any

from page_links import DOCS

Schema = Mapping[str, Any]


def report_schema() -> str:
    """Return the committed schema of the detection report as tables."""
    document = json.loads((DOCS / "report-schema.json").read_text(encoding="utf-8"))
    objects = ({**document, "title": "The report"}, *document["$defs"].values())
    return "\n".join(map(object_table, objects))


def object_table(schema: Schema) -> str:
    """Return heading, description and members of an object, or the values of an enumeration."""
    title = schema["title"]
    lines = [f"### {title}", "", _one_line(schema.get("description", "")), ""]
    if "enum" in schema:
        return "\n".join([*lines, "One of " + ", ".join(f"`{v}`" for v in schema["enum"]), ""])
    required = schema.get("required", [])
    lines += ["| member | type | always there | meaning |", "|---|---|---|---|"]
    for name, member in schema.get("properties", {}).items():
        there = "yes" if name in required else "no"
        meaning = _one_line(member.get("description", ""))
        lines.append(f"| `{name}` | {type_of(member)} | {there} | {meaning} |")
    return "\n".join([*lines, ""])


def type_of(schema: Schema) -> str:
    """Return a type in words; a type with a table of its own is a link to it."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(map(type_of, schema["anyOf"]))
    if "prefixItems" in schema:
        return "[" + ", ".join(map(type_of, schema["prefixItems"])) + "]"
    if "items" in schema:
        return f"array of {type_of(schema['items'])}"
    return _plain_type(schema)


def _plain_type(schema: Schema) -> str:
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    values = schema.get("additionalProperties")
    if isinstance(values, Mapping):
        return f"object of {type_of(values)}"
    return str(schema.get("format") or schema.get("type", "any"))


def _one_line(text: str) -> str:
    return " ".join(text.replace("``", "`").replace("|", "\\|").split())
