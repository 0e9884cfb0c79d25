"""Checkpoints on datasets: evaluation, and the papers' tables and figures."""
