"""The assets of videos: models, textures and backgrounds, each with its licence."""
