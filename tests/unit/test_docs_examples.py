"""What the pages show can be done: examples are read by what reads them, commands are run."""

import json
import re
import shlex
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import pytest
import typer
import yaml
from typer.testing import CliRunner

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
# A command of ours, on a line of its own.
COMMAND = re.compile(
    r"^(?:\S*/)?(?:(thrombolens)|python -m (training\.\w+))(?: (.*))?$", re.MULTILINE
)


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
def test_commands_run(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    for line in block.text.splitlines():
        program, *words = shlex.split(line, comments=True)
        assert program == ".venv/bin/thrombolens", "only our own commands are run here"
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, f"{line}: {done.output}"


def commands() -> Iterator[tuple[str, str | None, list[str]]]:
    """Yield place, module (None of the command line) and words of every command on the pages."""
    for block in BLOCKS:
        # Older pages have commands in blocks of no language.
        if block.language not in ("", "sh"):
            continue
        joined = block.text.replace("\\\n", " ")
        for found in COMMAND.finditer(joined):
            yield str(block), found[2], shlex.split(found[3] or "", comments=True)


def options_of(module: str | None, words: list[str]) -> set[str]:
    """Return the options of a command of ours; fails if there is no such command."""
    if module is None:
        parser = typer.main.get_command(app)
        while words and not words[0].startswith("-") and hasattr(parser, "commands"):
            parser = parser.commands[words.pop(0)]
    else:
        alone = typer.Typer()
        alone.command()(import_module(module).main)
        parser = typer.main.get_command(alone)
    return {name for each in parser.params for name in (*each.opts, *each.secondary_opts)}


def test_commands_that_are_shown_exist_with_their_options() -> None:
    add_plugins(app)
    seen = list(commands())
    assert {module for _, module, _ in seen} >= {None, "training.train", "training.export_onnx"}
    for place, module, words in seen:
        given = {word.partition("=")[0] for word in words if word.startswith("--")}
        unknown = given - options_of(module, words) - {"--help"}
        assert not unknown, place
