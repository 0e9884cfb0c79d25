"""Converts a dataset to the formats of other projects, so that their unchanged loaders can read it.

A format is a class in a module of its own, registered by name (``base.register``). ``run.export`` reads the videos
through ``dataset.reader.open_dataset``, passes them to the format unit by unit, and moves the written files to the
output folder by rename (``target``).
"""
