"""What videos are made of: models, textures and backgrounds, each with its licence."""
