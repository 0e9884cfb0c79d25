"""Training samples: still images and videos in, tensors out."""
