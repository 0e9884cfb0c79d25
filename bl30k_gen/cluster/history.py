"""What a build took and what went wrong, from its logs: for a report, after the work."""

import statistics
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Any

from bl30k_gen.dataset.layout import Layout
from bl30k_gen.render.failures import failed_videos
from bl30k_gen.render.output.journal import run_entries


def render_time(root: Path) -> dict[str, Any] | None:
    """What the journals of all runs say; None where there are none.

    Returns:
        videos, frames: that were finished in these runs; frames of videos that failed count, too.
        worker_hours: of all workers together, start of Blender left out.
        nodes: ``{node: {"frames", "frame_seconds", "devices"}}``, seconds as the median of its videos.
    """
    layout = Layout(root)
    videos = frames = 0
    seconds = 0.0
    of_node: dict[str, list[float]] = {}
    frames_of: Counter[str] = Counter()
    devices: dict[str, set[str]] = {}
    for entry in run_entries(layout):
        if entry.get("event") == "ready":
            device = f"{entry['device_name']}, {entry['threads']} thread{'' if entry['threads'] == 1 else 's'}"
            devices.setdefault(entry["host"], set()).add(device)
        elif entry.get("frames"):
            videos += entry["event"] == "published"
            frames += entry["frames"]
            seconds += entry["seconds"]
            frames_of[entry["host"]] += entry["frames"]
            of_node.setdefault(entry["host"], []).append(entry["frame_seconds"])
    if not frames:
        return None
    nodes = {
        node: {
            "frames": frames_of[node],
            "frame_seconds": round(statistics.median(medians), 3),
            "devices": sorted(devices.get(node, ())),
        }
        for node, medians in sorted(of_node.items())
    }
    return {"videos": videos, "frames": frames, "worker_hours": round(seconds / 3600, 4), "nodes": nodes}


def failures(root: Path, published: Collection[str]) -> dict[str, list[str]]:
    """``{reason: [videos]}`` of the videos that failed and are not there."""
    found: dict[str, list[str]] = {}
    for name, reason in failed_videos(Layout(root)).items():
        if name not in published:
            found.setdefault(reason, []).append(name)
    return found
