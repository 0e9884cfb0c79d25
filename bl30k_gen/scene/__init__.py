"""What happens in a video: pure NumPy, without Blender."""
