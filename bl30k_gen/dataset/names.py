"""The rule for names of videos and shards, checked wherever names enter.

Names become files and folders (``Metadata/<name>.json``, ``.staging/<name>/``), which are replaced and removed. So a
name must be one visible component of a path: without separators, leading dot or control characters.
"""

import unicodedata

from bl30k_gen.errors import UserError, printable

MAX_BYTES = 200  # leaves room for a temporary file's prefix and suffix in the 255 bytes of a file's name
_RULE = "a name is that of one visible folder, without separators or control characters"


def is_name(text: str) -> bool:
    """Whether ``text`` is a valid name of a video or shard."""
    return (
        0 < len(text.encode(errors="surrogateescape")) <= MAX_BYTES
        and not text.startswith(".")
        and not any(c in "/\\" or unicodedata.category(c) == "Cc" for c in text)
    )


def checked_name(text: str, source: object) -> str:
    """``text``, if it is a valid name. Raises UserError naming ``source``, where it came from."""
    if not is_name(text):
        shown = printable(text if len(text) <= MAX_BYTES else f"{text[:40]}...")
        raise UserError(f"{source}: '{shown}' is no name of a video", _RULE)
    return text
