"""Typed configuration: a stage, its data, a recipe, a table; and how they are found by name."""
