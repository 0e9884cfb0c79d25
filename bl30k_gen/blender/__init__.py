"""How a video is drawn: the only package that imports bpy and blenderproc. Runs in a child process alone."""
