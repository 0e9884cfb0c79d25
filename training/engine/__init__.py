"""The training loop: trainer, processes, dry run, validation, visualisation, export of a checkpoint."""
