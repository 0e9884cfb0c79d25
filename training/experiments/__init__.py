"""Evaluation of checkpoints on datasets, and the papers' tables and figures."""
