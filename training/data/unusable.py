"""What a source raises when an item cannot make a sample although nothing is damaged."""


class Unusable(Exception):
    """Another item is drawn instead; the message says why."""
