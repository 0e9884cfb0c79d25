"""Rendering on one machine: supervisor, Blender child process, staging, mask check, failures, progress."""
