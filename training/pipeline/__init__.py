"""Recipes: their steps in order (training, fusion data, evaluation), and the report."""
