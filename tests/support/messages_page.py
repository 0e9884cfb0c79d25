"""Generate the page of error messages from the code: each message with its remedy.

python -m tests.support.messages_page        # writes docs/messages.md
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/messages.md"
WORDS = 2
"""Messages with fewer fixed words are left out: nobody could find them here."""
ERRORS = {"UserError", "DiskFull", "MachineLacks", "FatalError"}
AREAS = {
    "Configuration and command line": (
        *(
            f"bl30k_gen/{name}"
            for name in ("settings", "config", "cli", "inputs", "errors", "platforms", "resources")
        ),
    ),
    "Assets": ("bl30k_gen/library", "bl30k_gen/builtin"),
    "Scenes and rendering": ("bl30k_gen/scene", "bl30k_gen/blender", "bl30k_gen/render"),
    "Clusters": ("bl30k_gen/cluster",),
    "Datasets": ("bl30k_gen/dataset", "bl30k_gen/remote", "bl30k_gen/annotations", "bl30k_gen/export"),
    "Training": tuple(f"training/{p}" for p in ("schema", "data", "tasks", "engine", "runs", "pipeline", "cli")),
    "Inference and evaluation": ("training/evaluation", "training/inference", "training/experiments"),
    "Interactive sessions": ("training/interactive", "training/annotator"),
}


def page() -> str:
    """The whole page as Markdown."""
    lines = ["<!-- made by python -m tests.support.messages_page -->", "", "# Error messages", ""]
    lines += ["Search for some words of a message. What differs from case to case is in capitals or `...`.", ""]
    lines += ["[troubleshooting.md](troubleshooting.md) has the frequent cases.", ""]
    for area, folders in AREAS.items():
        rows = sorted({row for folder in folders for row in _messages(folder)}, key=lambda row: (row[0].lower(), row))
        lines += [f"## {area}", "", "| message | remedy |", "|---|---|"]
        lines += [f"| {_cell(what)} | {_cell(remedy)} |" for what, remedy in rows] + [""]
    return "\n".join(lines)


def _messages(folder: str) -> Iterator[tuple[str, str]]:
    path = ROOT / folder
    for file in sorted([*path.rglob("*.py"), *path.parent.glob(f"{path.name}.py")]):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ERRORS:
                texts = [_text(argument) for argument in node.args]
                if len(texts) == 2 and len(re.findall(r"\b[a-z]+\b", texts[0])) >= WORDS:
                    yield texts[0], texts[1]


def _text(node: ast.expr) -> str:
    """The words of a string, of an f-string or of a choice between two; names in capitals, else ``...``."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(map(_text, node.values))
    if isinstance(node, ast.FormattedValue):
        return _text(node.value) if isinstance(node.value, ast.Name | ast.Attribute) else "..."
    if isinstance(node, ast.Name):
        return node.id.strip("_").upper()
    if isinstance(node, ast.Attribute):
        return node.attr.strip("_").upper()
    if isinstance(node, ast.IfExp):
        return f"{_text(node.body)} / {_text(node.orelse)}"
    return "..."


def _cell(text: str) -> str:
    text = "as the message says" if not re.search("[a-z]", text) else text
    return text.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;").replace("*", "\\*")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)
