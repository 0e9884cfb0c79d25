"""The commands of ``generate.py``: options, output and exit codes; the work is done in other packages."""

import typer

from bl30k_gen.cli import assets, cluster, configs, datasets, export, render
from bl30k_gen.command_line import version_option
from bl30k_gen.errors import run_entry_point
from bl30k_gen.platforms import require_posix

HELP = """Make, check, annotate and export datasets of synthetic videos: see docs/.

Exit codes: 0 done, 1 done but something is wrong with the result, 2 a mistake the user can fix, 143 stopped by
SIGTERM (the same command continues). --debug shows where in the program a mistake was noticed.
"""

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # no escape sequences: errors.PrintableStream would replace them
    help=HELP,
    callback=version_option,
)
for commands in (render, datasets, export, cluster):
    app.add_typer(commands.app)
app.add_typer(configs.app, name="config")
app.add_typer(assets.app, name="assets")


def _run() -> None:
    require_posix()
    app()


def main() -> None:
    """Run the command line."""
    run_entry_point(_run)
