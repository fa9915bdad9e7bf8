"""Commands of ``thrombolens``: parse, call one use case, show the answer."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from service import __version__
from service.bootstrap.local_study import (
    classify_folder,
    opened_study,
    site_overrides,
)
from service.domain.report import RESEARCH_USE_NOTICE
from service.domain.result_file import ResultFile
from service.entrypoints.cli.arrival_commands import arrivals
from service.entrypoints.cli.delivery_commands import deliveries
from service.entrypoints.cli.demo import run_demo
from service.entrypoints.cli.plugins import add_plugins
from service.entrypoints.cli.process_commands import add_processes
from service.entrypoints.cli.views import StageBar, show_classification, show_findings
from service.entrypoints.errors_told import errors_told
from service.settings import Settings
from service.stages.rule_table import rule_table

app = typer.Typer(
    name="thrombolens",
    help=f"Find and outline stroke thrombi on brain MR studies. {RESEARCH_USE_NOTICE}",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(deliveries, name="deliveries")
app.command()(arrivals)
add_processes(app)
_out = Console()
_err = Console(stderr=True)

StudyArgument = Annotated[
    Path, typer.Argument(help="Folder of DICOM files, one DICOM file, or a zip.", exists=True)
]
ModelOption = Annotated[
    str | None, typer.Option("--model", help="Model as name or name:version; see the settings.")
]


@app.command()
def segment(
    study: StudyArgument,
    out: Annotated[Path, typer.Option("--out", help="Folder for the results; made if needed.")],
    model: ModelOption = None,
) -> None:
    """Analyse one study in this process; write report, mask, DICOM-SEG and preview.

    A negative result or insufficient input ends with status 0: the report says so.
    """
    # The heavy imports are not needed by any other command.
    from service.adapters.analysis_files import analysis_files  # noqa: PLC0415
    from service.adapters.result_files import write_folder  # noqa: PLC0415
    from service.bootstrap.analysis import Analyser  # noqa: PLC0415

    with errors_told():
        settings = Settings.load()
        with opened_study(settings, study) as folder, StageBar(_err) as bar:
            analysis = Analyser(settings).analyse(folder, model or settings.default_model, bar)
        files = analysis_files(analysis)
        write_folder(out, files, outdated=tuple(ResultFile))
    show_findings(_out, json.loads(files["report.json"]))
    _out.print(f"Written to {out}: {', '.join(files)}", markup=False, soft_wrap=True)


@app.command()
def classify(
    study: StudyArgument,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON with all evidence.")] = False,
    pixels: Annotated[
        bool, typer.Option(help="Read pixels where headers leave doubt; without, faster.")
    ] = True,
    overrides: Annotated[
        Path | None, typer.Option(help="YAML file of site overrides; see docs/sequences.md.")
    ] = None,
) -> None:
    """Say what every series is, what would be used of it and why; nothing is analysed.

    The folder may hold several studies, or none.
    """
    with errors_told():
        settings = Settings.load()
        wanted = site_overrides(settings, overrides)
        with opened_study(settings, study) as folder:
            report = classify_folder(settings, folder, wanted, with_pixels=pixels)
    if as_json:
        typer.echo(json.dumps(asdict(report), indent=2))
    else:
        show_classification(_out, report)


@app.command()
def rules() -> None:
    """Print the rules of sequence detection as a table in Markdown."""
    typer.echo(rule_table())


@app.command()
def demo(
    study: Annotated[Path, typer.Option(help="Simulated study.", exists=True)] = Path(
        "examples/demo-study.zip"
    ),
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("demo-output"),
) -> None:
    """Start the service, send it the simulated demo study, fetch the results, stop it again."""
    with errors_told():
        run_demo(Settings.load(), study, out, _out)


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def main() -> None:
    """Run the command line, with the commands of whatever else is installed."""
    add_plugins(app)
    app()
