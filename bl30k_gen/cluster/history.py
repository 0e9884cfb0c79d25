"""Time and failures of a build, from its logs, for the report on a dataset."""

import statistics
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Any

from bl30k_gen.dataset.layout import Layout
from bl30k_gen.render.failures import failed_videos
from bl30k_gen.render.output.journal import run_entries


def render_time(root: Path) -> dict[str, Any] | None:
    """Work and time of all runs, from their journals; None without a rendered frame.

    Returns:
        videos, frames: numbers of finished ones; frames of failed videos count, too.
        worker_hours: of all workers together, without the start of Blender.
        nodes: ``{node: {"frames", "frame_seconds", "devices"}}``; seconds are the median over its videos.
    """
    layout = Layout(root)
    videos = frames = 0
    seconds = 0.0
    frame_seconds: dict[str, list[float]] = {}  # node: the median of each of its videos
    node_frames: Counter[str] = Counter()
    devices: dict[str, set[str]] = {}
    for entry in run_entries(layout):
        if entry.get("event") == "ready":
            device = f"{entry['device_name']}, {entry['threads']} thread{'' if entry['threads'] == 1 else 's'}"
            devices.setdefault(entry["host"], set()).add(device)
        elif entry.get("frames"):
            videos += entry["event"] == "published"
            frames += entry["frames"]
            seconds += entry["seconds"]
            node_frames[entry["host"]] += entry["frames"]
            frame_seconds.setdefault(entry["host"], []).append(entry["frame_seconds"])
    if not frames:
        return None
    nodes = {
        node: {
            "frames": node_frames[node],
            "frame_seconds": round(statistics.median(medians), 3),
            "devices": sorted(devices.get(node, ())),
        }
        for node, medians in sorted(frame_seconds.items())
    }
    return {"videos": videos, "frames": frames, "worker_hours": round(seconds / 3600, 4), "nodes": nodes}


def failures(root: Path, published: Collection[str]) -> dict[str, list[str]]:
    """``{reason: [videos]}`` of the videos that failed and are not in ``published``."""
    found: dict[str, list[str]] = {}
    for name, reason in failed_videos(Layout(root)).items():
        if name not in published:
            found.setdefault(reason, []).append(name)
    return found
