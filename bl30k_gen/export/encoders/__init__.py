"""Encoders of arrays in the file formats of other projects; they are independent of datasets."""
