"""Installed models: folders models/<name>/<version>/ with model.json and model.onnx."""

import json
from pathlib import Path

from service.domain.errors import InvalidModelError, UnknownModelError
from service.domain.model_spec import ModelSpec


def installed_models(models_dir: Path) -> tuple[ModelSpec, ...]:
    """Read every model.json under the folder, by name and then by version, newest last.

    Raises
    ------
    InvalidModelError
        If one of them is not what it must be.
    """
    folders = (file.parent for file in models_dir.glob("*/*/model.json"))
    return tuple(sorted(map(read_spec, folders), key=_order))


def find_model(models_dir: Path, wanted: str) -> Path:
    """Return the folder of ``name`` (its newest version) or ``name:version``.

    Raises
    ------
    UnknownModelError
        If it is not installed; the message lists what is.
    """
    name, _, version = wanted.partition(":")
    specs = installed_models(models_dir)
    matching = [
        spec for spec in specs if spec.name == name and (not version or spec.version == version)
    ]
    if not matching:
        installed = ", ".join(f"{spec.name}:{spec.version}" for spec in specs) or "none"
        raise UnknownModelError(f"no model {wanted!r}; installed: {installed}")
    return models_dir / matching[-1].name / matching[-1].version


def read_spec(folder: Path) -> ModelSpec:
    """Read model.json of one version folder.

    Raises
    ------
    InvalidModelError
        If it is missing, not valid, or names another model than its folder does.
    """
    try:
        document = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise InvalidModelError(f"model.json in {folder.name} cannot be read: {exc}") from exc
    spec = ModelSpec.from_json(document)
    if (spec.name, spec.version) != (folder.parent.name, folder.name):
        raise InvalidModelError(
            f"folder {folder.parent.name}/{folder.name} holds model {spec.name} {spec.version}"
        )
    return spec


def _order(spec: ModelSpec) -> tuple[str, list[int], str]:
    """Sort 0.10.0 after 0.9.0; versions that are no numbers come first."""
    parts = spec.version.split(".")
    numbers = [int(part) for part in parts] if all(part.isdigit() for part in parts) else []
    return spec.name, numbers, spec.version
