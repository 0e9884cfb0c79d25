"""Videos that failed: for each a file in ``Logs/`` with the reason."""

import json
from pathlib import Path

from bl30k_gen.dataset import files
from bl30k_gen.dataset.layout import Layout, list_visible
from bl30k_gen.errors import UserError
from bl30k_gen.inputs import read_json

_SUFFIX = ".failed.json"


def record_failure(layout: Layout, name: str, reason: str) -> None:
    """Record that a video failed, and why."""
    files.write_atomically(_note(layout, name), json.dumps({"reason": reason}) + "\n")


def forget_failure(layout: Layout, name: str) -> None:
    """Remove the record of a video that was rendered after all."""
    _note(layout, name).unlink(missing_ok=True)


def failed_videos(layout: Layout) -> dict[str, str]:
    """``{name: reason}`` of the videos that failed."""
    return {name: _reason(_note(layout, name)) for name in failed_names(layout)}


def _reason(note: Path) -> str:
    try:
        return str(read_json(note, "").get("reason", "not noted"))
    except (UserError, FileNotFoundError):  # removed meanwhile, or damaged: the video failed all the same
        return "its note cannot be read"


def failed_names(layout: Layout) -> list[str]:
    logs = list_visible(layout.root / "Logs")
    return sorted(log.removesuffix(_SUFFIX) for log in logs if log.endswith(_SUFFIX))


def _note(layout: Layout, name: str) -> Path:
    return layout.root / "Logs" / f"{name}{_SUFFIX}"
