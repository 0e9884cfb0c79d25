"""Trains and evaluates the networks: ``python train.py --help``."""

import sys
from pathlib import Path

# `training` and `models` lie beside this file. They come first, so that a folder `models` where the command runs is
# not imported in their place; installed, they are on no other program's path.
sys.path.insert(0, str(Path(__file__).resolve().parent))

from training.cli import main  # noqa: E402

if __name__ == "__main__":
    main()
