"""YAML files of an operator, read as texts, lists and mappings; pydantic makes values of them."""

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml


class _Loader(yaml.BaseLoader):
    """Reads every scalar as the text that was written (``YES`` is no truth value), no key twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [key.value for key, _ in node.value]
        twice = next((key for key in keys if keys.count(key) > 1), None)
        if twice is not None:
            problem = f"the key {twice} is used twice"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> Any:  # noqa: ANN401 - whatever the file says; to be checked
    """Read a file whose every scalar is the text that was written.

    Raises
    ------
    OSError, UnicodeDecodeError
        If the file cannot be read.
    yaml.YAMLError
        If it is no YAML, or has a key twice.
    """
    # The loader makes nothing but texts, lists and mappings.
    return yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506 - safe, see above
