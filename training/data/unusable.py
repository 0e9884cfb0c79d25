"""The exception for items that cannot make a sample although no file is damaged."""


class Unusable(Exception):
    """Raised by a source; another item is drawn instead. The message gives the reason."""
