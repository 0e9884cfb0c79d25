"""The folder of a run, and the comparison of runs."""
