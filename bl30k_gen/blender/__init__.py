"""Rendering with Blender: the only package that imports bpy and blenderproc. Runs only in a child process."""
