"""One reader per file format: a file becomes a model or a picture, or is refused with the reason."""
