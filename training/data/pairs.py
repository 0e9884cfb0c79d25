"""Pairs of image and mask below a folder, in the layouts of the usual datasets of still images."""

import re
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bl30k_gen.dataset.layout import IMAGE_SETS, read_image_set
from bl30k_gen.dataset.modalities import MASK, RGB
from bl30k_gen.errors import UserError

_IMAGE_SUFFIXES = (".jpg", ".jpeg", ".webp", ".png")
_MASK_ENDINGS = ("_gt", "_mask", "_segmentation")
_IMAGE_ENDINGS = ("_im", "_image")
_MASK_FOLDERS = ("mask", "gt", "ground", "annot", "label")
_MASK_SUFFIX = re.compile(r"[-_ ]?masks?$", re.IGNORECASE)


@dataclass(frozen=True)
class Pair:
    image: Path
    mask: Path


def find_pairs(root: Path) -> list[Pair]:
    """Images with their masks below a folder, sorted.

    A mask is a PNG with the image's name (without endings such as ``_im`` and ``_gt``): in the image's own folder,
    in a folder of masks in it, or in a folder of masks beside a folder of images. Folders of masks have mask, gt,
    ground, annot or label in their names. The folder of images has image in its name, or the name of that of the
    masks without ``_mask``. The frames of a video dataset are images, too. If the dataset has a list ``train``, only
    its videos are used.

    Raises:
        UserError: the folder does not exist, or there are no pairs in it.
    """
    if not root.is_dir():
        raise UserError(f"image folder {root} does not exist", "check the path")
    tree = _Tree(root)
    found: dict[tuple[str, str], dict[str, Path]] = {}
    for path in tree.files:
        place, in_mask_folder = tree.place(path.parent)
        suffix = path.suffix.lower()
        is_mask = suffix == ".png" and (in_mask_folder or path.stem.lower().endswith(_MASK_ENDINGS))
        kind = "mask" if is_mask else suffix
        if (other := found.setdefault((place, _stem(path)), {}).get(kind)) is not None:
            remedy = "keep one file for each image and for each mask"
            raise UserError(f"{other} and {root / path} have one name", remedy)
        found[place, _stem(path)][kind] = root / path
    pairs, listed = [], _listed(root)
    for files in found.values():
        mask = files.pop("mask", None) or files.pop(".png", None)
        images = [files[suffix] for suffix in _IMAGE_SUFFIXES if suffix in files]
        if len(images) > 1:
            raise UserError(f"{images[0]} is there twice, also as {images[1].name}", "keep one file for each image")
        if mask is not None and images and (listed is None or listed & {images[0].parent.name, images[0].stem}):
            pairs.append(Pair(images[0], mask))
    if not pairs:
        raise UserError(f"{root} holds no images with masks", "masks are PNGs with the name of their image")
    return sorted(pairs, key=lambda pair: str(pair.image))


def _listed(root: Path) -> set[str] | None:
    """The names of videos or images in a dataset's lists ``train``; None if there is no such list."""
    lists = sorted((root / IMAGE_SETS).rglob("train.txt"))
    return {name for path in lists for name in read_image_set(path)} if lists else None


def _stem(path: Path) -> str:
    stem = path.stem
    for ending in (*_MASK_ENDINGS, *_IMAGE_ENDINGS):
        stem = stem.removesuffix(ending)
    return stem


def _is_called_images(name: str) -> bool:
    return name == RGB or "image" in name.lower()


class _Tree:
    """The image files below a folder, by relative path."""

    def __init__(self, root: Path):
        paths = (path.relative_to(root) for path in sorted(root.rglob("*")))
        self.files = [p for p in paths if p.suffix.lower() in _IMAGE_SUFFIXES and not p.name.startswith(".")]
        self._pngs: dict[Path, set[str]] = defaultdict(set)  # by folder: of the files below it, paths without suffix
        self._others: dict[Path, set[str]] = defaultdict(set)
        self._folders: dict[Path, set[Path]] = defaultdict(set)
        for path in self.files:
            names = self._pngs if path.suffix.lower() == ".png" else self._others
            for folder in path.parents:
                names[folder].add((path.parent.relative_to(folder) / _stem(path)).as_posix())
                if folder != path.parent:
                    self._folders[folder].add(folder / path.relative_to(folder).parts[0])
        self.place = cache(self._place)
        self._home_of = cache(self._find_home)

    def _place(self, folder: Path) -> tuple[str, bool]:
        """A key that an image's folder and its mask's folder share, and whether the folder is one of masks."""
        parts: list[str] = []
        in_mask_folder, path = False, Path()
        for part in folder.parts:
            path /= part
            if (home := self._home_of(path)) is not None:
                in_mask_folder = True
                parts += [home] if home else []
            else:
                parts.append("*" if _is_called_images(part) else part)
        return "/".join(parts), in_mask_folder

    def _find_home(self, folder: Path) -> str | None:
        """What stands for a folder of masks in the key: "" for its parent, "*" or a folder beside it; else None."""
        name, own, above = folder.name, self._pngs[folder], folder.parent
        if name != MASK and not any(word in name.lower() for word in _MASK_FOLDERS):
            return None
        beside = sorted(self._folders[above] - {folder})
        if (others := self._others[folder]) and own <= others:  # a class with a name like ground; else in disorder
            lonely = (self._others[other] - self._pngs[other] for other in beside)
            if not own & set().union(*lonely):
                return None
        if any(_is_called_images(other.name) and own & self._names(other) for other in beside):
            return "*"
        namesake = above / _MASK_SUFFIX.sub("", name)
        if namesake in beside and own & self._names(namesake):
            return "*" if _is_called_images(namesake.name) else namesake.name
        return "" if own & self._names(above) else "*"

    def _names(self, folder: Path) -> set[str]:
        return self._pngs[folder] | self._others[folder]
