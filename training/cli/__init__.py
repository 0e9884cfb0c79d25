"""The researcher's commands. Each does its work in another module; here are words and exit codes."""

import logging
import sys

import typer

from bl30k_gen.errors import MISTAKE, run_door
from bl30k_gen.version import version_option
from training.cli import judging, learning, runs, using

HELP = """Train segmentation networks, judge them, and use them: see docs/training.md.

Exit codes: 0 done, 2 a mistake the user can mend, 143 stopped by SIGTERM or SIGINT (the same command goes on).
"""

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help=HELP, callback=version_option)
for part in (learning, judging, using, runs):
    app.add_typer(part.app)


def main() -> None:
    """Run the command line."""
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    try:
        run_door(app)
    except ModuleNotFoundError as error:
        print(f"error: {error.name} is not installed: pip install -c constraints.txt -e '.[train]'", file=sys.stderr)
        sys.exit(MISTAKE)
