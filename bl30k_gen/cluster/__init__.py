"""Who renders what, on which machine."""
