"""The steps of a recipe, one after the other: training, fusion data, evaluation, the report."""
