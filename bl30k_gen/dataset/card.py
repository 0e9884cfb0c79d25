"""The description that a dataset carries in its files: ``DATASET.md`` and ``CITATION.cff``.

``DATASET.md`` has the type, shape and unit of every field.
"""

from collections.abc import Mapping, Sequence
from typing import Any

# Every field of Metadata/<video>.json: path, type and shape, unit, meaning. F frames, C control points. `[]` stands
# for each element of a list.
FIELDS: tuple[tuple[str, str, str, str], ...] = (
    ("schema_version", "int", "", "version of this table, 1"),
    ("name", "str", "", "the video's name"),
    ("split", "str", "", "`train` or `val`"),
    ("config_digest", "str", "", "SHA-256 of everything in `config.yaml` that a video depends on"),
    ("versions", "{str: str}", "", "programs that shape the pixels, and their versions"),
    ("digest", "str", "", "SHA-256 of all other fields of this file as JSON with sorted keys and no spaces"),
    ("files", "{path: {bytes, sha256}}", "bytes", "size and SHA-256 of each frame and mask"),
    ("camera.intrinsics", "float (3, 3)", "pixels", "camera matrix K; the origin is the image's top left corner"),
    ("camera.extrinsics", "float (F, 4, 4)", "metres", "world to camera, with x right, y down, z forwards"),
    ("objects[].id", "int", "", "the object's pixel value in the masks"),
    ("objects[].visible_area", "int (F,)", "pixels", "pixels of the object in each mask"),
    ("objects[].poses", "float (F, 4, 4)", "metres", "object to world, with its scale"),
    ("scene.schema_version", "int", "", "version of the scene description, 1"),
    ("scene.name", "str", "", "as `name`"),
    ("scene.index", "int", "", "number of the video in the dataset"),
    ("scene.seed", "int", "", "of the dataset"),
    ("scene.split", "str", "", "as `split`"),
    ("scene.video.frames", "int", "frames", "F"),
    ("scene.video.width", "int", "pixels", ""),
    ("scene.video.height", "int", "pixels", ""),
    ("scene.static", "str", "", "`drift` or `hold`: what a curve does between equal control points"),
    ("scene.camera.field_of_view", "float", "radians", "horizontal"),
    ("scene.camera.location", "float (C, 3)", "metres", "control points of the camera's path"),
    ("scene.camera.target", "float (C, 3)", "metres", "control points of the point that it looks at"),
    (
        "scene.camera.shake",
        "null or [{cycles, angles (3,), phases (3,)}]",
        "radians, turns",
        "sines about its own x, y and z axes; `cycles` over the video",
    ),
    ("scene.objects[].id", "int", "", "1 to 254, the pixel value in the masks"),
    ("scene.objects[].model.id", "str", "", "the model's name in the catalogue"),
    ("scene.objects[].model.path", "str", "", "where it was read from"),
    ("scene.objects[].model.sha256", "str", "", "of its bytes"),
    ("scene.objects[].texture", "null or {id, path, sha256}", "", "a texture in place of the model's own materials"),
    ("scene.objects[].location", "float (C, 3)", "metres", "control points of its path"),
    ("scene.objects[].rotation", "float (C, 3)", "radians", "control points of its XYZ Euler angles"),
    ("scene.objects[].scale", "float (C, 3)", "", "control points of its scale, of a model with a unit diagonal"),
    (
        "scene.objects[].deformation",
        "null or {kind, value}",
        "",
        "of the model before it is scaled: `wave`, `bend` or `lattice`, with its parameters",
    ),
    (
        "scene.objects[].clearance_failed",
        "bool",
        "",
        "it comes nearer to an earlier object than the configuration allows",
    ),
    ("scene.lights[].location", "float (3,)", "metres", "of a point light"),
    ("scene.lights[].power", "float", "watts", ""),
    ("scene.lights[].colour", "float (3,)", "", "linear RGB, largest channel 1"),
    ("scene.lights[].radius", "float", "metres", "of the lamp itself"),
    ("scene.ambient", "float", "", "grey light from everywhere"),
    ("scene.backdrop.image", "{id, path, sha256}", "", "the image behind the objects"),
    ("scene.backdrop.centre", "float (3,)", "metres", "of the plane that shows it"),
    ("scene.backdrop.width", "float", "metres", ""),
    ("scene.backdrop.height", "float", "metres", ""),
    ("scene.backdrop.strength", "float", "", "of its emission"),
    ("scene.render", "{str: value}", "", "how a frame was drawn; the keys of `render` in `config.yaml`"),
    ("scene.limits", "{str: number}", "", "how large an asset may be; the keys of `assets.limits` in `config.yaml`"),
    ("scene.image", "{str: value}", "", "how a frame is stored; the keys of `image` in `config.yaml`"),
)

_PAGE = """# A synthetic video object segmentation dataset

Rendered videos of moving objects with exact masks, in the layout of BL30K, DAVIS and YouTube-VOS.
Every video has {frames} frames of {width}x{height} pixels and {fewest} to {most} objects.

## Files

| Path | What it holds |
|---|---|
| `JPEGImages/<video>/%05d.jpg` | (H, W, 3) uint8 sRGB, JPEG quality {quality}, chroma {subsampling}; counted from 0 |
| `Annotations/<video>/%05d.png` | (H, W) uint8 masks, 8-bit palette PNG with the DAVIS palette |
| `Metadata/<video>.json` | scene, camera, poses, visible areas and checksums; see below |
| `ImageSets/train.txt`, `val.txt` | names of the videos of each split, one a line |
| `config.yaml` | the complete configuration of this dataset |
| `CITATION.cff` | how to cite it |
| `CREDITS.md`, `credits.csv` | whose assets it shows and under which licences; written by `generate.py report` |
| `Logs/` | how rendering went; no part of the data |

A video's name is its segment's letter and five digits. A video without its file in `Metadata/` is unfinished:
ignore it.

## Masks

A pixel is 0 (background) or the id of one object. Ids are the objects' numbers in the scene and stay the same
through the video. There is no void label and no anti-aliasing: each pixel belongs to what is seen at its centre.
An object that is hidden or out of view has no pixels in that frame.

## Splits

{share:.1%} of the videos are for validation. Which videos these are follows from their index; each split draws its
models and backgrounds from a part of the library that is its own.

## Metadata

F frames, C control points of a curve. Axes of the world: x right, y into the image, z up. Matrices act on column
vectors and are rounded to 7 decimals.

| Field | Type and shape | Unit | Meaning |
|---|---|---|---|
{fields}

## Loading

```python
from bl30k_gen.dataset.reader import open_dataset

store = open_dataset("path/to/this/folder")   # or to its tar or HDF5 shards
for name in store.image_set("train"):
    rgb = store.read_rgb(name, 0)             # (H, W, 3) uint8
    mask = store.read_mask(name, 0).ids       # (H, W) uint8
    scene = store.metadata(name)["scene"]
```

Without this package, any DAVIS or YouTube-VOS loader reads the folder. `python generate.py verify <folder>` checks
it.

## Sources and licences

{licences}
"""


def dataset_card(config: Mapping[str, Any], licences: Sequence[tuple[str, str]] = ()) -> str:
    """The card as Markdown.

    Args:
        config: the resolved configuration, as nested mappings.
        licences: (source, licence) of the assets, in the order of the table.
    """
    rows = [f"| `{path}` | {kind} | {unit} | {meaning} |" for path, kind, unit, meaning in FIELDS]
    fewest, most = config["objects"]["count"]
    sources = [f"| {source} | {licence} |" for source, licence in licences]
    return _PAGE.format(
        **config["video"],
        **config["image"],
        fewest=fewest,
        most=most,
        share=config["dataset"]["val_share"],
        fields="\n".join(rows),
        licences="\n".join(["| Source | Licence |", "|---|---|", *sources]) if sources else "None were recorded.",
    )


_CITATION = """\
# Written once, when the dataset was begun: put your own names and title here.
cff-version: 1.2.0
message: If you use this dataset, please cite it and the paper that introduced its recipe.
type: dataset
title: A synthetic video object segmentation dataset by the recipe of BL30K
authors:
  - name: The makers of this dataset
identifiers:
  - type: other
    value: {digest}
    description: SHA-256 of the configuration that it was made with
references:
  - type: conference-paper
    title: "Modular Interactive Video Object Segmentation: Interaction-to-Mask, Propagation and Difference-Aware
      Fusion"
    authors:
      - family-names: Cheng
        given-names: Ho Kei
      - family-names: Tai
        given-names: Yu-Wing
      - family-names: Tang
        given-names: Chi-Keung
    collection-title: IEEE/CVF Conference on Computer Vision and Pattern Recognition (CVPR)
    year: 2021
"""


def citation(config_digest: str) -> str:
    """``CITATION.cff`` (Citation File Format 1.2.0) of a dataset."""
    return _CITATION.format(digest=config_digest)
