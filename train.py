"""Trains and judges the networks: ``python train.py --help``."""

from training.cli import main

if __name__ == "__main__":
    main()
