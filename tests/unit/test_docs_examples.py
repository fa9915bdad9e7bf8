"""What the pages show can be done: examples are read by what reads them, commands are run."""

import hashlib
import hmac
import json
import re
import shlex
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from typer.testing import CliRunner

from service.adapters.deliver_webhook import SIGNATURE, TIMESTAMP, signature
from service.adapters.destination_files import read_destinations
from service.adapters.override_files import read_overrides
from service.adapters.source_files import read_sources
from service.domain.model_spec import ModelSpec
from service.entrypoints.cli.app import app
from service.entrypoints.cli.plugins import add_plugins
from tests.documented import PAGES, ROOT, Block, blocks_of
from tests.strategies import mr_series, write_instances
from tests.tiny_model import NAME, install_tiny_model, small_head
from tests.unit.test_analyse_study import SWI
from training.simulate.site import load_sites

DATA = ("yaml", "toml", "json")
# Older pages have commands in blocks of no language.
SHELL = ("", "sh")
# What stands for something of the reader's in commands that are run.
STUDY = ("FOLDER", "STUDY_FOLDER_OR_ZIP")
PROGRAMS = ("thrombolens", ".venv/bin/thrombolens")
READERS: dict[str, Callable[[Path], object]] = {
    "destinations": read_destinations,
    "overrides": read_overrides,
    "sources": read_sources,
}
BLOCKS = [block for page in PAGES for block in blocks_of(page)]
TRIED = [block for block in BLOCKS if block.reason is None]
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


def test_every_block_can_be_tried_or_says_why_not() -> None:
    languages = {*DATA, *SHELL, "python"}
    neither = [str(block) for block in TRIED if block.language not in languages]
    assert not neither, "no test tries these: write `<!-- not run: why -->` before them"


@pytest.mark.parametrize("page", PAGES)
def test_no_block_is_overlooked(page: str) -> None:
    fences = (ROOT / page).read_text(encoding="utf-8").count("```")
    assert fences == 2 * len(blocks_of(page))


def test_the_tests_that_reasons_name_are_there() -> None:
    reasons = [block.reason for block in BLOCKS if block.reason is not None]
    named = {name for reason in reasons for name in re.findall(r"tests/\S+\.py", reason)}
    assert named
    assert not {name for name in named if not (ROOT / name).is_file()}


@pytest.mark.parametrize("block", [b for b in TRIED if b.language in DATA], ids=str)
def test_examples_are_understood(block: Block, tmp_path: Path) -> None:
    read(block, tmp_path)


def test_a_wrong_example_is_found(tmp_path: Path) -> None:
    (block,) = [b for b in blocks_of("docs/pacs.md") if "calling_ae: [" in b.text]
    wrong = Block("x.md", 1, "yaml", block.text.replace("policy:", "polcy:"), None)
    with pytest.raises(Exception, match="polcy"):
        read(wrong, tmp_path)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what commands speak of, and a network that is quick."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    write_instances(mr_series(small_head(clot=True), **SWI), tmp_path / STUDY[0])
    (tmp_path / STUDY[1]).symlink_to(STUDY[0])
    overrides = [b for b in blocks_of("docs/sequences.md") if b.language == "yaml"]
    (tmp_path / "overrides.yaml").write_text(overrides[0].text)
    install_tiny_model(tmp_path / "models")
    monkeypatch.setenv("THROMBOLENS_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.setenv("THROMBOLENS_DEFAULT_MODEL", NAME)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("block", [b for b in TRIED if b.language in SHELL], ids=str)
def test_commands_run(block: Block) -> None:
    for line in block.text.splitlines():
        program, *words = shlex.split(line, comments=True)
        assert program in PROGRAMS, "only our own commands are run here"
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, f"{line}: {done.output}"


@pytest.mark.parametrize("block", [b for b in TRIED if b.language == "python"], ids=str)
def test_the_shown_check_of_a_signature_takes_ours_alone(block: Block) -> None:
    now, body = str(int(time.time())), b"{}"
    headers = {TIMESTAMP: now, SIGNATURE: signature(b"hush", now, body)}
    for key, accepted in ((b"hush", True), (b"other", False)):
        names: dict[str, Any] = {"headers": headers, "body": body, "key": key}
        exec(block.text, {"hmac": hmac, "hashlib": hashlib, "time": time}, names)  # noqa: S102 - our own page
        assert names["accept"] is accepted


def commands() -> Iterator[tuple[str, str | None, list[str]]]:
    """Yield place, module (None of the command line) and words of every command on the pages."""
    for block in BLOCKS:
        if block.language not in SHELL:
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
