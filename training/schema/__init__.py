"""Typed configuration of stages, their data, recipes and tables; and lookup by name."""
