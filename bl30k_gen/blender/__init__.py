"""How a video is drawn: the only room that knows bpy and blenderproc. Runs in a child process alone."""
