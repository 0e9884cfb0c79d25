"""The scores, protocols, tables and figures by which a segmentation is evaluated."""
