"""Writes a dataset in other people's formats, so that their loaders read it as they are.

A format is a class in a module of its own, registered by name (``base.register``). ``run.export`` reads the videos
through ``dataset.reader.open_dataset``, hands them to the format unit by unit, and puts what it writes into the
output folder by rename (``target``).
"""
