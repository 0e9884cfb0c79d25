"""Videos that failed: a note in ``Logs/`` of each, with the reason."""

import json
from pathlib import Path

from bl30k_gen.dataset import files
from bl30k_gen.dataset.layout import Layout, list_visible

_SUFFIX = ".failed.json"


def record_failure(layout: Layout, name: str, reason: str) -> None:
    """Note that a video was given up, and why."""
    files.write_atomically(_note(layout, name), json.dumps({"reason": reason}) + "\n")


def forget_failure(layout: Layout, name: str) -> None:
    """Remove the note, for a video that was rendered after all."""
    _note(layout, name).unlink(missing_ok=True)


def failed_videos(layout: Layout) -> dict[str, str]:
    """``{name: reason}`` of the videos that were given up."""
    names = failed_names(layout)
    return {name: json.loads(_note(layout, name).read_text())["reason"] for name in names}


def failed_names(layout: Layout) -> list[str]:
    logs = list_visible(layout.root / "Logs")
    return sorted(log.removesuffix(_SUFFIX) for log in logs if log.endswith(_SUFFIX))


def _note(layout: Layout, name: str) -> Path:
    return layout.root / "Logs" / f"{name}{_SUFFIX}"
