"""Sources as a YAML file, checked when it is read."""

from pathlib import Path

import yaml
from pydantic import ValidationError

from service.adapters.entry_faults import first_fault
from service.adapters.source_entries import SourceFile
from service.adapters.yaml_texts import read_yaml
from service.domain.errors import InvalidSourcesError


def read_sources(path: Path) -> SourceFile:
    """Read the sources of an installation.

    Raises
    ------
    InvalidSourcesError
        If the file cannot be read, is no YAML, or says something that is not understood; names
        the entry and the value.
    """
    try:
        content = read_yaml(path)
        return SourceFile.model_validate(content)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as exc:
        raise InvalidSourcesError(f"{path}: {exc}") from exc
    except ValidationError as exc:
        raise InvalidSourcesError(f"{path}: {first_fault(exc, content, 'sources')}") from exc
