"""The report on a dataset: samples, histograms, assets, costs and failures in one self-contained HTML page.

The page has no scripts, and its content security policy forbids to load anything. The template escapes names of
assets and all other text from outside. Equal datasets give equal bytes.
"""

import base64
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bl30k_gen.dataset import preview
from bl30k_gen.dataset.layout import METADATA
from bl30k_gen.dataset.reader import VideoStore
from bl30k_gen.dataset.statistics import Statistics
from bl30k_gen.errors import UserError
from bl30k_gen.seeding import rng
from bl30k_gen.text import byte_size

PAGE = "report.html"
_TEMPLATE = "report_page.html"
_COLUMNS, _TILE = 6, 240  # frames of a sample, their width in pixels
_QUALITY = 82
_EXAMPLES = 5  # names of videos beside a problem or reason
_MAX_ROWS = 10  # assets of each kind, and reasons of failures
_WIDTH, _HEIGHT, _LEFT, _TOP, _FOOT = 360, 165, 12, 14, 30  # of a histogram, and its margins, SVG units


def collect(
    store: VideoStore,
    add_scene: Callable[[Mapping[str, Any]], None],
    progress: Callable[[Sequence[str]], Iterable[str]] = lambda names: names,
) -> dict[str, Any]:
    """Count a dataset, reading each video's metadata once.

    Args:
        add_scene: called with each scene as JSON; raises KeyError, TypeError or AttributeError if it is damaged.
        progress: wraps the names of the videos in a progress bar.

    Returns:
        ``Statistics.to_json``, ``name``, ``videos_there``, and ``damaged``: videos whose metadata cannot be counted.
    """
    counted, damaged = Statistics(), []
    for name in progress(store.videos if METADATA in store.tree.folders("") else []):
        try:
            metadata = store.required_metadata(name)
            counted.add(metadata)
            add_scene(metadata["scene"])
        except (UserError, AttributeError, IndexError, KeyError, TypeError, ValueError):
            damaged.append(name)
    facts = {"name": store.path.resolve().name, "videos_there": len(store.videos), "damaged": _examples(damaged)}
    return facts | counted.to_json()


def choose(store: VideoStore, number: int) -> list[str]:
    """``number`` videos drawn at random with a fixed seed, in the order of the dataset."""
    drawn = rng(0, "report").permutation(len(store.videos))[:number]
    return [store.videos[i] for i in sorted(drawn.tolist())]


def samples(store: VideoStore, names: Iterable[str]) -> list[dict[str, Any]]:
    """Frames of some videos: ``{"video": name, "frames": [{"number", "plain", "marked"}]}``, images as data URIs.

    A video with a damaged image has the key ``problem`` instead of ``frames``.
    """
    found: list[dict[str, Any]] = []
    for name in names:
        try:
            tiles = preview.strip(store, name, _COLUMNS, _TILE)
        except UserError as error:
            found.append({"video": name, "problem": error.what})
            continue
        frames = [{"number": i, "plain": _uri(rgb), "marked": None if m is None else _uri(m)} for i, rgb, m in tiles]
        found.append({"video": name, "frames": frames})
    return found


def failure_list(reasons: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """``[{"reason", "videos", "examples"}]``, the most frequent first."""
    ordered = sorted(reasons.items(), key=lambda item: (-len(item[1]), item[0]))
    return [{"reason": reason, **_examples(sorted(names))} for reason, names in ordered]


def sheet(name: str, draw: Callable[[], np.ndarray]) -> dict[str, Any]:
    """``{"video": name, "sheet"}``, an image as data URI; ``problem`` instead of it where it cannot be drawn."""
    try:
        return {"video": name, "sheet": _uri(draw())}
    except UserError as error:
        return {"video": name, "problem": str(error)}


def page(
    numbers: Mapping[str, Any], images: Sequence[Mapping[str, Any]], annotated: Mapping[str, Any] | None = None
) -> str:
    """The page as HTML.

    Args:
        numbers: the result of ``collect``, with ``assets`` (see ``library.catalogue.credits``), ``failures``
            (``failure_list``) and ``render`` (``cluster/history.py``).
        images: see ``samples``.
        annotated: ``sheet`` of the annotations of a video.
    """
    import jinja2

    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"chart": _chart, "short": _short, "size": byte_size}
    variables = {"samples": images, "annotated": annotated, "max_rows": _MAX_ROWS}
    return environment.get_template(_TEMPLATE).render(numbers=numbers, **variables)


def _examples(names: Sequence[str]) -> dict[str, Any]:
    return {"videos": len(names), "examples": list(names[:_EXAMPLES])}


def _uri(rgb: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", quality=_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


# --- For the template ---------------------------------------------------------------------------------------------


def _chart(histogram: Mapping[str, Any]) -> dict[str, Any]:
    """A histogram as coordinates of an SVG: bars of equal width, whatever their edges, with labels below."""
    counts, edges = histogram["counts"], histogram["edges"]
    step = (_WIDTH - 2 * _LEFT) / max(len(counts), 1)
    room = _HEIGHT - _TOP - _FOOT
    integers = edges == list(range(len(edges)))  # of counted things: a label belongs to its bar, not to its edge
    largest, total = max(counts, default=0), sum(counts)
    bars = []
    for i, count in enumerate(counts):
        height = round(room * count / largest, 2) if largest else 0.0
        span = _short(edges[i]) if integers else f"{_short(edges[i])} to {_short(edges[i + 1])}"
        bars.append(
            {
                "x": round(_LEFT + i * step + 0.5, 2),
                "y": round(_TOP + room - height, 2),
                "width": round(step - 1, 2),
                "height": height,
                "count": count,
                "span": span,
                "share": f"{count / total:.1%}" if total else "",
                "label": f"{count / total:.0%}" if total and count / total >= 0.005 else "",
            }
        )
    every = 1 if len(edges) <= 16 else -(-len(edges) // 12)
    positions = [(i + 0.5 * integers, edge) for i, edge in enumerate(edges[: len(counts)] if integers else edges)]
    labels = [{"x": round(_LEFT + bar * step, 2), "text": _short(edge)} for bar, edge in positions[::every]]
    return {
        "width": _WIDTH,
        "height": _HEIGHT,
        "left": _LEFT,
        "right": _WIDTH - _LEFT,
        "base": _TOP + room,
        "bars": bars,
        "labels": labels,
    }


def _short(value: float | int | None) -> str:
    """A number with three digits or thousands separators; a dash for None."""
    if value is None:
        return "–"
    if isinstance(value, float) and not value.is_integer():
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{int(value):,}"
