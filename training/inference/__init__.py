"""Inference: propagation of masks through a video."""
