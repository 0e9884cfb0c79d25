"""Trains the networks and evaluates them: data, losses, trainer, stages."""
