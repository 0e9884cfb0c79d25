"""Teaches the networks and judges them: data, losses, trainer, stages."""
