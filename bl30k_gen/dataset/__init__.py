"""The files of a dataset: written atomically, and read from folders, shards and URLs."""
