"""One machine renders: supervisor, Blender child process, staging, mask check, failures, progress."""
