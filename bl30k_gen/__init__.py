"""Makes BL30K-style synthetic video object segmentation datasets. Never imports torch."""
