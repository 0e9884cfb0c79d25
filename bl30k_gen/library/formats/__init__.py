"""One reader per file format: a file becomes a model or an image, or is refused with the reason."""
