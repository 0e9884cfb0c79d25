"""Where videos go: the files of a dataset on disk, written whole and read back anywhere."""
