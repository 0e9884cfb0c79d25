"""The folder of a run, and runs compared."""
