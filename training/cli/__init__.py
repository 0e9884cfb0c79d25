"""The commands of ``train.py``: their options and exit codes. The work is done in other modules."""

import logging
import sys

import typer

from bl30k_gen.command_line import version_option
from bl30k_gen.errors import MISTAKE, UserError, run_entry_point
from bl30k_gen.platforms import require_posix
from training.cli import evaluate, runs, segment, train
from training.cli.threads import choose_threads

HELP = """Train segmentation networks, evaluate them, and use them: see docs/training.md.

Exit codes: 0 done, 2 a mistake the user can fix, 143 stopped by SIGTERM or SIGINT (the same command continues).
--debug shows where in the program a mistake was noticed.
"""

app = typer.Typer(
    no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None, help=HELP, callback=version_option
)
for commands in (train, evaluate, segment, runs):
    app.add_typer(commands.app)


def _run() -> None:
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    require_posix()
    choose_threads()
    try:
        app()
    except RuntimeError as error:
        if type(error).__name__ != "OutOfMemoryError":  # PyTorch's, without importing it here
            raise
        raise UserError(
            "the GPU's memory is full",
            "in training, set runtime.batch_per_step lower or runtime.checkpointing=true; else give --short-side or "
            "--precision bfloat16",
        ) from error


def main() -> None:
    """Run the command line."""
    try:
        run_entry_point(_run)
    except ModuleNotFoundError as error:
        extras = "train,annotate" if error.name in ("starlette", "uvicorn", "websockets") else "train"
        print(
            f"error: {error.name} is not installed: pip install -c constraints.txt -e '.[{extras}]'", file=sys.stderr
        )
        sys.exit(MISTAKE)
