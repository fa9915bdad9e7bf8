"""What the pages show can be done: examples are read by what reads them, commands are run."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import click
import pytest
import typer
import yaml

from service.adapters.destination_files import read_destinations
from service.adapters.override_files import read_overrides
from service.adapters.source_files import read_sources
from service.domain.model_spec import ModelSpec
from service.entrypoints.cli.app import app
from service.entrypoints.cli.plugins import add_plugins
from tests.documented import DOCS, ROOT, Block, blocks_of
from training.simulate.site import load_sites

# Pages whose every block is run, or says why not. Of the others the data are read.
EXAMINED = (
    "add-model.md",
    "add-site.md",
    "index.md",
    "install.md",
    "pacs.md",
    "privacy.md",
    "security.md",
    "troubleshooting.md",
)
READERS: dict[str, Callable[[Path], object]] = {
    "destinations": read_destinations,
    "overrides": read_overrides,
    "sources": read_sources,
}
PAGES = sorted(path.name for path in DOCS.glob("*.md"))
BLOCKS = [block for page in PAGES for block in blocks_of(page)]
# The beginning of a command of ours, in a block or after a variable.
COMMAND = re.compile(r"^(?:\S*/)?(?:(thrombolens)|python -m (training\.\w+)) ?(.*)$", re.MULTILINE)


def read(block: Block, folder: Path) -> None:
    """Read data as the service would; raises what it raises."""
    file = folder / f"example.{block.language}"
    file.write_text(block.text)
    if block.language == "json":
        ModelSpec.from_json(json.loads(block.text))
    elif block.language == "toml":
        load_sites(file)
    else:
        (kind,) = yaml.safe_load(block.text).keys() & READERS.keys()
        READERS[kind](file)


@pytest.mark.parametrize("page", EXAMINED)
def test_every_block_can_be_tried_or_says_why_not(page: str) -> None:
    neither = [
        str(block)
        for block in blocks_of(page)
        if block.reason is None and block.language not in ("sh", "yaml", "toml", "json")
    ]
    assert not neither, "no test tries these: write `<!-- not run: why -->` before them"


def test_no_block_is_overlooked() -> None:
    for page in EXAMINED:
        fences = (DOCS / page).read_text(encoding="utf-8").count("```")
        assert fences == 2 * len(blocks_of(page)), page


@pytest.mark.parametrize(
    "block",
    [b for b in BLOCKS if b.language in ("yaml", "toml", "json") and b.reason is None],
    ids=str,
)
def test_examples_are_understood(block: Block, tmp_path: Path) -> None:
    read(block, tmp_path)


def test_a_wrong_example_is_found(tmp_path: Path) -> None:
    (block,) = [b for b in blocks_of("pacs.md") if "calling_ae: [" in b.text]
    wrong = Block("x.md", 1, "yaml", block.text.replace("policy:", "polcy:"), None)
    with pytest.raises(Exception, match="polcy"):
        read(wrong, tmp_path)


@pytest.mark.parametrize(
    "block",
    [b for b in BLOCKS if b.page in EXAMINED and b.language == "sh" and b.reason is None],
    ids=str,
)
def test_commands_run(block: Block, tmp_path: Path) -> None:
    (tmp_path / ".venv").symlink_to(sys.prefix)
    for name in ("examples", "models", "training"):
        (tmp_path / name).symlink_to(ROOT / name)
    done = subprocess.run(
        ["/bin/bash", "-euc", block.text],
        cwd=tmp_path,
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def commands() -> Iterator[tuple[str, str | None, list[str]]]:
    """Yield place, module (None of the command line) and words of every command on the pages."""
    for block in BLOCKS:
        joined = block.text.replace("\\\n", " ")
        for found in COMMAND.finditer(joined):
            yield str(block), found[2], shlex.split(found[3], comments=True)


def parser_of(module: str | None) -> click.Command:
    """Return what parses a command of ours."""
    if module is None:
        add_plugins(app)
        return typer.main.get_command(app)
    alone = typer.Typer()
    alone.command()(import_module(module).main)
    return typer.main.get_command(alone)


def test_commands_that_are_shown_exist_with_their_options() -> None:
    seen = list(commands())
    assert {module for _, module, _ in seen} >= {None, "training.train", "training.export_onnx"}
    for place, module, words in seen:
        parser = parser_of(module)
        while isinstance(parser, click.Group) and words and words[0] in parser.commands:
            parser = parser.commands[words.pop(0)]
        known = {name for option in parser.params for name in (*option.opts, *option.secondary_opts)}
        given = {word.partition("=")[0] for word in words if word.startswith("--")}
        unknown = given - known - {"--help"}
        assert not unknown, f"{place}: {parser.name} has no {unknown}"
        group = isinstance(parser, click.Group) and not parser.invoke_without_command
        assert not group, f"{place}: no command {words}"
