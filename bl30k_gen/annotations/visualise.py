"""Images of annotations: depth, normals, coordinates, flow, amodal outlines and tracks of evenly spaced frames."""

import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from bl30k_gen.dataset.derived import Array, Flow, Tracks
from bl30k_gen.dataset.files import write_atomically
from bl30k_gen.dataset.masks import palette
from bl30k_gen.dataset.preview import outline
from bl30k_gen.dataset.reader import VideoStore

Rgb = npt.NDArray[np.uint8]  # (H, W, 3)

GAP, CAPTION = 4, 96  # pixels: between tiles, and width of the column of captions
PAPER, INK, INVALID = (255, 255, 255), (40, 40, 40), (128, 128, 128)
TRAIL = 8  # earlier frames over which a track is drawn
SHOWN_TRACKS = 80  # more would hide each other
RAMP = np.array([[255, 244, 176], [250, 157, 88], [196, 62, 98], [92, 26, 110], [18, 8, 48]])  # near to far
UPWARDS = np.array([1, -1, -1], np.float32)  # turns y up and z towards the camera, as is usual for normal maps
DIM = 0.45  # brightness of an image below lines


def depth_image(depth: Array) -> Rgb:
    """Depth as colour, from light (near) to dark (far), linear in 1 / depth; grey where no surface is."""
    seen = np.isfinite(depth)
    if not seen.any():
        return np.full((*depth.shape, 3), INVALID, np.uint8)
    inverse = 1 / np.where(seen, depth, np.nanmax(depth))
    low, high = inverse[seen].min(), inverse[seen].max()
    position = (high - inverse) / max(high - low, 1e-9) * (len(RAMP) - 1)
    colours = [np.interp(position, np.arange(len(RAMP)), channel) for channel in RAMP.T]
    return _paint(np.stack(colours, axis=-1), seen)


def vector_image(vectors: Array) -> Rgb:
    """Unit vectors or coordinates from -1 to 1 (x, y, z) as red, green, blue from 0 to 255."""
    return _paint((vectors + 1) * 127.5, np.asarray(np.isfinite(vectors).all(axis=-1)))


def flow_image(flow: Flow, longest: float | None = None) -> Rgb:
    """Flow as colour: the hue is the direction (right is red), the saturation the length; occluded pixels are darker.

    Args:
        longest: length in pixels with full saturation; None: the longest of this image.
    """
    x, y = np.moveaxis(np.nan_to_num(flow.flow), -1, 0)
    length = np.hypot(x, y)
    hue = (np.arctan2(y, x) / (2 * np.pi)) % 1
    saturation = np.clip(length / max(longest or float(length.max()), 1e-9), 0, 1)
    value = np.where(flow.occluded, 0.55, 1.0)
    hsv = np.stack([hue, saturation, value], axis=-1)
    return _paint(np.asarray(Image.fromarray((hsv * 255).astype(np.uint8), "HSV").convert("RGB")), flow.valid)


def amodal_image(rgb: Rgb, masks: npt.NDArray[np.bool_], ids: Sequence[int]) -> Rgb:
    """Outlines of whole objects, hidden parts included, over a dimmed image."""
    image = (rgb * DIM).astype(np.uint8)
    for mask, id in zip(masks, ids, strict=True):
        colour = palette()[id].astype(float)
        image[outline(mask.astype(np.uint8))] = colour * (255 / max(colour.max(), 1))
    return image


def tracks_image(rgb: Rgb, tracks: Tracks, frame: int) -> Rgb:
    """Points with their trails, as rings where they are occluded; the colour encodes where a point was chosen.

    About ``SHOWN_TRACKS`` of the tracks are drawn.
    """
    image = Image.fromarray((rgb * DIM).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    size = np.array(rgb.shape[1::-1])
    radius = max(1.0, rgb.shape[0] / 160)
    some = slice(None, None, -(-len(tracks.queries) // SHOWN_TRACKS))
    for query, places, visible in zip(tracks.queries[some], tracks.places[some], tracks.visible[some], strict=True):
        across, down = np.clip(query[1:] / size, 0, 1)
        colour = (int(255 * across), int(255 * (1 - across) * 0.7 + 70), int(255 * down))
        trail = places[max(0, frame - TRAIL) : frame + 1]
        trail = trail[np.isfinite(trail).all(axis=1)]
        if len(trail) > 1:
            draw.line([tuple(place) for place in trail.tolist()], fill=colour)
        if np.isfinite(places[frame]).all():
            x, y = places[frame].tolist()
            box = (x - radius, y - radius, x + radius, y + radius)
            draw.ellipse(box, fill=colour if visible[frame] else None, outline=colour)
    return np.asarray(image)


def sheet(store: VideoStore, name: str, columns: int = 4, tile_width: int = 240) -> Image.Image:
    """A row for each kind, a column for each of evenly spaced frames.

    Raises:
        UserError: as the readers of ``Annotated``; a file is missing or damaged.
    """
    frames = len(store.frames(name))
    chosen = np.unique(np.linspace(0, max(frames - 2, 0), columns).round().astype(int)).tolist()
    metadata = store.metadata(name) or {}
    ids = [each["id"] for each in metadata["objects"]]
    tracks = store.read_tracks(name)
    flows = [store.read_flow(name, i) for i in chosen] if frames > 1 else []
    longest = max((float(np.nanmax(np.linalg.norm(flow.flow, axis=-1))) for flow in flows), default=0.0)
    rows: dict[str, Callable[[int], Rgb]] = {
        "image": lambda i: store.read_rgb(name, i),
        "depth": lambda i: depth_image(store.read_depth(name, i)),
        "normals": lambda i: vector_image(store.read_normals(name, i) * UPWARDS),
        "coordinates": lambda i: vector_image(store.read_object_coordinates(name, i) * 2),
        "flow": lambda i: flow_image(flows[chosen.index(i)], longest),
        "amodal": lambda i: amodal_image(store.read_rgb(name, i), store.read_amodal(name, i), ids),
        "tracks": lambda i: tracks_image(store.read_rgb(name, i), tracks, i),
    }
    if not flows:
        del rows["flow"]
    height, width = store.read_rgb(name, 0).shape[:2]
    tile = (tile_width, max(1, round(height * tile_width / width)))
    size = (CAPTION + len(chosen) * (tile[0] + GAP), len(rows) * (tile[1] + GAP) - GAP)
    image = Image.new("RGB", size, PAPER)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(12)
    for row, (kind, make) in enumerate(rows.items()):
        top = row * (tile[1] + GAP)
        draw.text((2, top + 2), f"{name}\n{kind}" if row == 0 else kind, fill=INK, font=font)
        for column, frame in enumerate(chosen):
            drawn = Image.fromarray(make(frame)).resize(tile, Image.Resampling.LANCZOS)
            image.paste(drawn, (CAPTION + column * (tile[0] + GAP), top))
            corner = (CAPTION + column * (tile[0] + GAP) + 4, top + 2)
            draw.text(corner, str(frame), fill=PAPER, font=font, stroke_width=2, stroke_fill=INK)
    return image


def write(store: VideoStore, name: str, folder: Path, columns: int) -> Path:
    """Write ``sheet`` into a folder; return its path."""
    path, buffer = folder / f"annotations_{name}.png", io.BytesIO()
    sheet(store, name, columns).save(buffer, "PNG")
    write_atomically(path, buffer.getvalue())
    return path


def _paint(colours: npt.NDArray[np.number], seen: npt.NDArray[np.bool_]) -> Rgb:
    return np.where(seen[..., None], np.clip(np.nan_to_num(colours), 0, 255), INVALID).astype(np.uint8)
