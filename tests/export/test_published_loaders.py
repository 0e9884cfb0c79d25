"""The rules by which XMem, Cutie, SAM 2 and AOT find files, reimplemented from their sources, on our datasets.

Each ``*_index`` gives ``{video: [(image, mask), ...]}`` in the order in which the loader knows the frames. How
samples are drawn from that is theirs. docs/use_with.md says where each rule stands.
"""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from bl30k_gen.dataset.reader import open_dataset

ROOT = Path(__file__).resolve().parents[2]
RECIPE = ROOT / "docs/use_with/sam2.1_hiera_b+_bl30k_finetune.yaml"


def xmem_index(bl_root, num_frames=8):
    """Every entry of the images' folder is a video; every entry in that is a frame; four letters make the suffix."""
    images, masks = os.path.join(bl_root, "JPEGImages"), os.path.join(bl_root, "Annotations")
    found = {}
    for video in sorted(os.listdir(images)):
        frames = sorted(os.listdir(os.path.join(images, video)))
        if len(frames) >= num_frames:
            stems = [frame[:-4] for frame in frames]
            found[video] = [(f"{images}/{video}/{s}.jpg", f"{masks}/{video}/{s}.png") for s in stems]
    return found


def cutie_index(base, image_directory, mask_directory, subset, seq_length=8):
    """Like XMem's, for the videos of a list; paths are joined to a base unless they are absolute."""
    images, masks = os.path.join(base, image_directory), os.path.join(base, mask_directory)
    wanted = set(Path(subset).read_text().splitlines()) if subset else None
    found = {}
    for video in sorted(os.listdir(images)):
        frames = sorted(os.listdir(os.path.join(images, video)))
        if (wanted is None or video in wanted) and len(frames) >= seq_length:
            stems = [frame[:-4] for frame in frames]
            found[video] = [(f"{images}/{video}/{s}.jpg", f"{masks}/{video}/{s}.png") for s in stems]
    return found


def sam2_index(img_folder, gt_folder, file_list_txt):
    """Names come from the list, without apparent suffixes; frames and masks are matched by their numbers."""
    names = [os.path.splitext(line.strip())[0] for line in open(file_list_txt)]
    found = {}
    for video in sorted(names):
        numbered = {int(os.path.splitext(name)[0]): name for name in os.listdir(os.path.join(gt_folder, video))}
        frames = sorted(Path(img_folder, video).glob("*.jpg"))
        found[video] = [(f, Path(gt_folder, video, numbered[int(f.name.split(".")[0])])) for f in frames]
    return found


def aot_index(root):
    """Videos with as many images as masks; the n-th image goes with the n-th mask."""
    images, masks = os.path.join(root, "JPEGImages"), os.path.join(root, "Annotations")
    found = {}
    for video in sorted(os.listdir(images)):
        both = [[f"{kind}/{video}/{n}" for n in sorted(os.listdir(f"{kind}/{video}"))] for kind in (images, masks)]
        if len(both[0]) == len(both[1]):
            found[video] = list(zip(*both, strict=True))
    return found


def aot_as_davis_index(root, resolution="480p"):
    """DAVIS-2017: videos of ImageSets/2017/train.txt, a resolution below each kind."""
    names = [line.strip() for line in open(os.path.join(root, "ImageSets", "2017", "train.txt"))]
    images, masks = (os.path.join(root, kind, resolution) for kind in ("JPEGImages", "Annotations"))
    listed = {v: [sorted(os.listdir(f"{kind}/{v}")) for kind in (images, masks)] for v in names}
    return {
        v: [(f"{images}/{v}/{i}", f"{masks}/{v}/{m}") for i, m in zip(*both, strict=True)]
        for v, both in listed.items()
    }


def require_frames(found, store, names):
    """Assert that the index has these videos with all frames in order, with the files that our reader reads."""
    assert sorted(found) == names
    for name in names:
        pairs = found[name]
        assert len(pairs) == len(store.frames(name))
        for i, (image, mask) in enumerate(pairs):
            with Image.open(image) as picture:
                assert np.array_equal(np.asarray(picture.convert("RGB")), store.read_rgb(name, i))
            with Image.open(mask) as palette:
                plain, converted = np.array(palette), np.array(palette.convert("P"))
            assert palette.mode == "P" and np.array_equal(plain, converted)  # some convert, some do not
            assert np.array_equal(plain, store.read_mask(name, i).ids)


def link_train(store, root):
    """The folder of links that docs/use_with.md makes with `ln`."""
    for video in store.image_set("train"):
        for kind in ("JPEGImages", "Annotations"):
            (root / kind).mkdir(parents=True, exist_ok=True)
            (root / kind / video).symlink_to(store.path / kind / video)
    return root


def test_xmem_and_aot(store, tmp_path):
    for index in (xmem_index, aot_index):
        require_frames(index(store.path), store, store.videos)
    for index in (xmem_index, aot_index):
        require_frames(index(link_train(store, tmp_path / index.__name__)), store, store.image_set("train"))


def test_cutie(store):
    page = (ROOT / "docs/use_with.md").read_text(encoding="utf-8")
    settings = yaml.safe_load(page.split("```yaml\n")[1].split("```")[0])["BL30K"]
    keys = {"image_directory", "mask_directory", "multiplier", "frame_interval", "subset", "empty_masks"}
    assert settings.keys() == keys and settings["frame_interval"] == 1
    places = [
        settings[k].replace("/data/bl30k", str(store.path)) for k in ("image_directory", "mask_directory", "subset")
    ]
    require_frames(cutie_index("../", *places), store, store.image_set("train"))


def test_sam2_by_the_ready_configuration(store, monkeypatch):
    recipe = yaml.safe_load(RECIPE.read_text(encoding="utf-8"))
    assert recipe["defaults"] == ["sam2.1_hiera_b+_MOSE_finetune", "_self_"]
    assert RECIPE.read_text().startswith("# @package _global_\n")
    given = {k: str(v).replace("${oc.env:BL30K}", str(store.path)) for k, v in recipe["dataset"].items()}
    assert given.pop("multiplier") == "1"
    require_frames(sam2_index(**given), store, store.image_set("train"))


def test_sam2_by_its_json(store, exported):
    """JSONRawDataset: frames by their number; an entry of the masklet for each, with a mask for each object."""
    coco = pytest.importorskip("pycocotools.mask")
    place = exported("sav") / "sav_train"
    names = sorted(os.listdir(place / "JPEGImages_24fps"))
    assert names == store.image_set("train")
    for name in names:
        said = json.loads((place / f"{name}_manual.json").read_text())
        assert "fps" not in said  # else it would count as masks a second
        frames = [int(os.path.splitext(n)[0]) for n in sorted(os.listdir(place / "JPEGImages_24fps" / name))]
        assert len(frames) == len(said["masklet"]) and None not in sum(said["masklet"], [])
        for number in frames:
            assert (place / "JPEGImages_24fps" / name / f"{number:05d}.jpg").is_file()
            ids = store.read_mask(name, number).ids
            decoded = coco.decode(said["masklet"][number])
            for object_number, label in enumerate(said["masklet_id"]):
                assert np.array_equal(decoded[..., object_number] > 0, ids == label)


def test_aot_reads_it_as_davis(store, tmp_path):
    for kind in ("JPEGImages", "Annotations"):
        (tmp_path / kind).mkdir()
        (tmp_path / kind / "480p").symlink_to(store.path / kind)
    lists = tmp_path / "ImageSets/2017"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_bytes((store.path / "ImageSets/train.txt").read_bytes())
    require_frames(aot_as_davis_index(tmp_path), store, store.image_set("train"))
    assert open_dataset(tmp_path).image_set("2017/train") == store.image_set("train")


def test_the_check_finds_a_wrong_pairing(store):
    found = xmem_index(store.path)
    (image, _), (_, mask), *rest = found["a00000"]
    found["a00000"] = [(image, mask), (image, mask), *rest]
    with pytest.raises(AssertionError):
        require_frames(found, store, store.videos)
