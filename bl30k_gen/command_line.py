"""Help texts of both command lines."""


def examples(*lines: str) -> str:
    """The end of a command's help text: complete command lines that can be copied.

    Each is a paragraph. The backspace tells Click not to wrap it, and is not printed.
    """
    return "\n\n".join(["Examples:", *(f"\b\n{line}" for line in lines)])
