"""Networks at work: propagation through a video, and the interactive session."""
