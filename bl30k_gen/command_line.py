"""What both command lines share about their help texts."""


def examples(*lines: str) -> str:
    """The end of a command's help: complete command lines that can be copied.

    Each is a paragraph of its own whose line is kept, which Click marks by a backspace and Rich does not print.
    """
    return "\n\n".join(["Examples:", *(f"\b\n{line}" for line in lines)])
