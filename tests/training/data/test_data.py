import dataclasses
import io
import multiprocessing

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import binary_erosion
from torchvision.transforms import functional

from bl30k_gen.dataset import masks
from bl30k_gen.dataset.pack import pack
from bl30k_gen.dataset.reader import open_dataset
from bl30k_gen.errors import UserError
from bl30k_gen.seeding import rng
from tests.support.stages import order_of
from training.data import sampling, transforms
from training.data.images import Images, Pairs
from training.data.mixture import Draw, loader, open_mixture
from training.data.pairs import find_pairs
from training.data.perturb import perturb
from training.data.sample import Batch
from training.data.videos import FrameTransform
from training.schema.data import Curriculum, FrameChange, Jitter, Warp
from training.schema.stage import load_stage

STILL = [
    "augmentation.sequence={flip: 0, scale: null, crop_ratio: [1, 1], jitter: {brightness: 0, contrast: 0, "
    "saturation: 0, hue: 0, grey: 0}}",
    "augmentation.frame={rotation: 0, shear: 0, scale: [1, 1], jitter: {brightness: 0, contrast: 0, "
    "saturation: 0, hue: 0, grey: 0}}",
]


def same(a, b) -> bool:
    return all(torch.equal(getattr(a, f), getattr(b, f)) for f in ("images", "masks", "void", "present", "given"))


# --- frames and objects -------------------------------------------------------------------------------------------


def test_three_frames_stay_within_the_distance_and_the_video():
    stream = rng(0, "frames")
    seen = set()
    for _ in range(3000):
        frames = sampling.draw_frames(stream, 40, 3, 5)
        seen.update(frames)
        steps = np.abs(np.diff(frames))
        assert min(frames) >= 0 and max(frames) < 40 and steps.max() <= 6
        assert frames == sorted(frames) or frames == sorted(frames, reverse=True)
    assert {0, 20, 37} <= seen and max(seen) == 38  # the second frame is clipped to 35, the third to 38
    forwards = sum(f[0] < f[2] for f in (sampling.draw_frames(stream, 40, 3, 5) for _ in range(1000)))
    assert 430 < forwards < 570


def test_five_frames_start_early_enough():
    stream = rng(0, "five")
    for length, distance in [(40, 5), (12, 25), (3, 5), (100, 10)]:
        for _ in range(500):
            frames = sampling.draw_frames(stream, length, 5, distance)
            assert len(frames) == 5 and 0 <= min(frames) and max(frames) < length
            if length == 100:
                assert max(frames) - min(frames) >= 4


def test_small_labels_are_dropped_unless_they_stay_small():
    ids = np.zeros((3, 384, 384), np.uint8)
    ids[:, :40, :40] = 1  # large
    ids[:, 50:58, :8] = 2  # tiny
    ids[0, 100:120, :20] = 3  # small, and stays so
    ids[0, 200:220, :20], ids[1, 200:230, :20] = 4, 4  # small at first
    void = np.zeros(ids.shape, bool)
    assert sampling.candidates(ids, void, "small") == [1, 3]
    assert sampling.candidates(ids, void, "none") == [1, 2, 3, 4]
    void[0, :40, :40] = True
    assert sampling.candidates(ids, void, "none") == [2, 3, 4]


def test_the_distance_grows_with_the_fraction_of_epochs():
    curriculum = Curriculum(distances=[5, 10, 15, 20, 25, 5], at=[0.1, 0.2, 0.3, 0.4, 0.8])
    values = [sampling.largest_distance(curriculum, epoch, 10) for epoch in range(10)]
    assert values == [5, 10, 15, 20, 25, 25, 25, 25, 5, 5]


# --- images -----------------------------------------------------------------------------------------------------


def test_image_and_masks_get_the_same_geometry(tiny):
    """Each ellipse has one colour, so a misplaced mask would cover several."""
    dull = [
        STILL[0].replace("flip: 0", "flip: 0.5"),
        STILL[1].replace("rotation: 0, shear: 0", "rotation: 15, shear: 10"),
    ]
    mixture = open_mixture(tiny("stcn/bl30k", *dull))
    checked = 0
    for number in range(12):
        sample = mixture[Draw(0, number, 0, number % 6, 5)]
        for t in range(3):
            for o in range(2):
                inside = sample.masks[t, o] > 0
                if inside.sum() > 300:
                    colours = sample.images[t][:, inside].float()
                    near = (colours - colours.median(1, keepdim=True).values).abs().amax(0) < 60
                    assert near.float().mean() > 0.9
                    checked += 1
    assert checked > 20


def test_outside_the_crop_is_mean_colour_and_background(tiny):
    mixture = open_mixture(tiny("stcn/bl30k", STILL[0], STILL[1].replace("rotation: 0", "rotation: 45")))
    corners = [mixture[Draw(0, n, 0, 0, 5)] for n in range(8)]
    filled = [(s.images[t, :, 0, 0] == torch.tensor(transforms.FILL)).all() for s in corners for t in range(3)]
    assert sum(filled) > 12
    assert all(s.masks[..., 0, 0].max() == 0 for s in corners)


def test_crops_keep_area_and_ratio():
    stream = rng(0, "crop")
    boxes = [transforms.draw_crop(stream, 854, 480, (0.36, 1), (3 / 4, 4 / 3)) for _ in range(500)]
    sizes = np.array([(r - le, b - t) for le, t, r, b in boxes])
    assert (sizes[:, 0] / sizes[:, 1]).min() > 0.74 and (sizes[:, 0] / sizes[:, 1]).max() < 1.35
    assert sizes.prod(1).min() > 0.35 * 854 * 480
    assert all(le >= 0 and t >= 0 and r <= 854 and b <= 480 for le, t, r, b in boxes)


def test_a_jpeg_is_decoded_small_where_that_is_enough(tmp_path):
    y, x = np.mgrid[:512, :768]
    rgb = np.stack([x / 3, y / 2, 128 + 0 * x], -1).astype(np.uint8)
    Image.fromarray(rgb).save(tmp_path / "a.jpg", quality=95)
    data = (tmp_path / "a.jpg").read_bytes()
    box = (100, 50, 700, 450)
    small = transforms.crop_and_resize(transforms.open_image(data, "a"), box, (96, 64), "a")
    plain = Image.fromarray(rgb).crop(box).resize((96, 64), Image.Resampling.BICUBIC)
    assert np.abs(np.asarray(small, int) - np.asarray(plain, int)).mean() < 1.5
    opened = transforms.open_image(data, "a")
    transforms.crop_and_resize(opened, box, (96, 64), "a")
    assert opened.size == (192, 128)


def test_a_large_png_is_averaged_before_it_is_cropped(tmp_path):
    pixels = np.zeros((64, 96, 3), np.uint8)
    pixels[::2] = 200  # stripes that would be aliased
    Image.fromarray(pixels).save(tmp_path / "a.png")
    image = transforms.open_image((tmp_path / "a.png").read_bytes(), "a")
    small = transforms.decode(image, (0, 0, 96, 64), (24, 16), "a")
    assert small.size == (24, 16)
    assert np.abs(np.asarray(small, int) - 100).max() <= 1


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_crop_flip_and_rotation_are_one_map(tmp_path, flip, suffix):
    """Compared with Pillow's steps; the crop is twice the output's size, so that the JPEG is decoded at half size."""
    y, x = np.mgrid[:160, :200]
    rgb = np.stack([x, y, 60 + 40 * np.sin(x / 9) * np.cos(y / 7)], -1).astype(np.uint8)
    ids = ((x - 90) ** 2 + (y - 70) ** 2 < 1500).astype(np.uint8)
    Image.fromarray(rgb).save(tmp_path / f"a.{suffix}", quality=97, subsampling=0)
    turn = np.linalg.inv(np.array([[0.97, -0.26], [0.26, 0.97]]) @ np.array([[1, 0.1], [0, 1]]))
    box, out = (21, 13, 171, 141), 64
    geometry = FrameTransform((200, 160), box, flip, [turn], out)
    image = transforms.open_image((tmp_path / f"a.{suffix}").read_bytes(), "a")
    image, mask = geometry.apply_to_image(image, 0, [], "a"), geometry.apply_to_mask(ids, 0)

    def plainly(image: Image.Image, resample: Image.Resampling, fill) -> np.ndarray:
        small = image.resize((out, out), resample, box=box)
        small = small.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if flip else small
        shift = 32 - turn @ (32, 32)
        data = (*turn[0], shift[0], *turn[1], shift[1])
        return np.asarray(
            small.transform((out, out), Image.Transform.AFFINE, data, resample=resample, fillcolor=fill), int
        )

    expected = plainly(Image.fromarray(rgb), Image.Resampling.BICUBIC, transforms.FILL)
    seen = (expected != transforms.FILL).any(-1) & (image != transforms.FILL).any(-1)
    inside = binary_erosion(seen, iterations=3)
    assert inside.mean() > 0.6
    assert np.abs(image - expected)[inside].mean() < 1.5
    outside = binary_erosion(~seen, iterations=2)
    assert outside.any() and (image[outside] == transforms.FILL).all()
    assert (mask != plainly(Image.fromarray(ids), Image.Resampling.NEAREST, 0)).mean() < 0.02


def test_colour_steps_are_torchvisions():
    image = Image.fromarray(rng(0, "c").integers(60, 180, (40, 50, 3)).astype(np.uint8))
    steps = [("contrast", 0.9), ("brightness", 1.1), ("saturation", 0.8)]
    expected = image
    for name, factor in steps:
        expected = getattr(functional, f"adjust_{name}")(expected, factor)
    assert np.abs(np.asarray(transforms.recolour(image, steps), int) - np.asarray(expected, int)).max() <= 3
    hue = transforms.recolour(image, [("hue", 0.1)])
    assert np.abs(np.asarray(hue, int) - np.asarray(functional.adjust_hue(image, 25 / 255 + 1e-6), int)).mean() < 1
    assert np.abs(np.asarray(hue, int) - np.asarray(image, int)).mean() > 10
    grey = np.asarray(transforms.recolour(image, [("grey", 0.0)]))
    assert np.abs(grey[..., 0].astype(int) - np.asarray(image.convert("L"), int)).max() <= 1


def test_affine_maps_rotate_about_the_centre():
    mask = np.zeros((41, 41), np.uint8)
    mask[20, 30] = 1
    turn = np.array([[0.0, 1.0], [-1.0, 0.0]])
    out = transforms.affine(Image.fromarray(mask), turn, (41, 41), (20.5, 20.5), Image.Resampling.NEAREST)
    assert np.argwhere(np.asarray(out)).tolist() in ([[30, 20]], [[10, 20]])
    change = FrameChange(
        rotation=20, shear=10, scale=(0.9, 1.1), jitter=Jitter(brightness=0, contrast=0, saturation=0, hue=0, grey=0)
    )
    scales = [1 / np.linalg.det(transforms.draw_affine(rng(0, i), change)) for i in range(200)]
    assert 0.8 < min(scales) < 0.85 and 1.17 < max(scales) < 1.22


def test_a_thin_plate_moves_its_control_points():
    warp = transforms.ThinPlate.draw(rng(0, "tps"), Warp(chance=1, points=12, deviation=0.02))
    np.testing.assert_allclose(warp.displacement(warp.points), warp.moves, atol=1e-6)
    still = transforms.ThinPlate(warp.points, 0 * warp.moves)
    image = torch.randint(0, 255, (3, 64, 64), dtype=torch.uint8)
    moved, mask = transforms.warp_frame(image, image[:1], still.grid(64))
    assert (moved.int() - image.int()).abs().max() <= 1 and torch.equal(mask, image[:1])
    assert (warp.grid(384, step=1) - warp.grid(384)).abs().max() < 2 / 384  # a pixel


@pytest.mark.parametrize("iou", [0.95, 0.85, 0.5])
def test_perturbed_masks_reach_the_target_iou(iou):
    y, x = np.mgrid[:192, :192]
    mask = (x - 90) ** 2 + (y - 100) ** 2 < 50**2
    for i in range(4):
        worse = perturb(mask, iou, rng(0, i))
        reached = (worse & mask).sum() / (worse | mask).sum()
        assert iou - 0.2 < reached < iou
    empty = np.zeros((64, 64), bool)
    assert not perturb(empty, 0.9, rng(0)).any()


# --- sources ------------------------------------------------------------------------------------------------------


def test_folder_tar_and_hdf5_give_the_same_samples(videos, tmp_path, make_videos):
    whole = make_videos(tmp_path / "whole", 2)
    (whole / "Metadata").mkdir()
    for name in ("a00000", "a00001"):
        (whole / f"Metadata/{name}.json").write_text("{}")
    drawn = []
    for kind in ("folder", "tar", "hdf5"):
        path = whole
        if kind != "folder":
            pack(open_dataset(whole), tmp_path / kind, kind)
            path = tmp_path / kind
        mixture = open_mixture(load_stage("stcn/bl30k", ["size=64"], [str(path)]))
        drawn.append([mixture[Draw(0, n, 0, n % 2, 5)] for n in range(3)])
    for others in drawn[1:]:
        assert all(same(a, b) for a, b in zip(drawn[0], others, strict=True))


def test_davis_2016_has_one_object_and_a_split(shared):
    stage = load_stage("stcn/vos", ["size=96"], [str(shared / "data/davis")])
    mixture = open_mixture(stage)
    assert len(mixture.sources[0]) == 8
    sample = mixture[Draw(0, 0, 0, 0, 10)]
    assert sample.present.tolist() == [True, False] and sample.masks[:, 0].float().mean() > 2
    assert sample.masks[:, 1].max() == 0


def test_void_is_neither_object_nor_background(tmp_path, make_videos):
    root = make_videos(tmp_path, 1)
    for path in (root / "Annotations/a00000").iterdir():
        ids = masks.read_mask(path).ids.copy()
        ids[ids == 2] = 255
        path.write_bytes(masks.encode_mask(ids))
    stage = load_stage("stcn/bl30k", ["size=96", "data.bl30k.label_filter=none"], [str(root)])
    batch = Batch.collate([open_mixture(stage)[Draw(0, n, 0, 0, 5)] for n in range(4)])
    assert batch.void.any() and not (batch.void[:, :, None] & (batch.masks > 0)).any()
    labels = batch.to(torch.device("cpu")).labels
    assert set(labels.unique().tolist()) == {-1, 0, 1, 2} and torch.equal(labels == -1, batch.void)


def test_fractions_of_data_are_nested_and_lists_are_checked(videos, tmp_path):
    def names(*overrides):
        stage = load_stage("stcn/bl30k", [f"data.bl30k.{o}" for o in overrides], [f"bl30k={videos}"])
        return open_mixture(stage).sources[0].names

    assert len(names()) == 6
    half, most = names("share=0.4"), names("share=0.8")
    assert 0 < len(half) < len(most) and set(half) < set(most)
    (tmp_path / "list.txt").write_text("a00001\na00004\n")
    assert names(f"names={tmp_path / 'list.txt'}") == ["a00001", "a00004"]
    (tmp_path / "list.txt").write_text("nothing\n")
    with pytest.raises(UserError, match="nothing"):
        names(f"names={tmp_path / 'list.txt'}")
    with pytest.raises(UserError, match="no list valid"):
        names("split=valid")


def test_pairs_of_images_and_masks_in_the_usual_layouts(tmp_path):
    image, mask = Image.new("RGB", (40, 30)), Image.new("L", (40, 30), 255)
    for image_name, mask_name in [
        ("fss/apple/1.jpg", "fss/apple/1.png"),
        ("fss/bus/1.jpg", "fss/bus/1.png"),
        ("duts/DUTS-TR-Image/x.jpg", "duts/DUTS-TR-Mask/x.png"),
        ("ecssd/images/0001.jpg", "ecssd/ground_truth_mask/0001.png"),
        ("big/a_im.jpg", "big/a_gt.png"),
        ("own/images/b.png", "own/masks/b.png"),
        ("jpeg/images/b.jpg", "jpeg/masks/b.png"),
        ("parts/train/image/b.jpg", "parts/train/mask/b.png"),
        ("deep/images/v1/b.jpg", "deep/masks/v1/b.png"),
        ("inside/b.jpg", "inside/mask/b.png"),
        ("hrsod/HRSOD_train/c.jpg", "hrsod/HRSOD_train_mask/c.png"),
        ("classes/ac_ground/1.jpg", "classes/ac_ground/1.png"),
        ("classes/gas_mask/1.jpg", "classes/gas_mask/1.png"),
    ]:
        for content, name in [(image, image_name), (mask, mask_name)]:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            content.save(tmp_path / name)
    (tmp_path / "fss/apple/lonely.jpg").write_bytes(b"")
    found = {path.name: len(find_pairs(path)) for path in tmp_path.iterdir()}
    two = {"fss": 2, "classes": 2}
    one = ("duts", "ecssd", "big", "own", "jpeg", "parts", "deep", "inside", "hrsod")
    assert found == two | dict.fromkeys(one, 1)
    image.save(tmp_path / "own/masks/preview.jpg")
    assert len(find_pairs(tmp_path / "own")) == 1
    image.save(tmp_path / "jpeg/masks/b.jpg")  # an overlay
    with pytest.raises(UserError, match=r"b\.jpg and .*b\.jpg have one name"):
        find_pairs(tmp_path / "jpeg")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no images"):
        find_pairs(tmp_path / "empty")


def test_values_of_masks_mean_what_the_source_says(tmp_path):
    """0 and 1 were almost nothing where the source said binary."""
    values = np.zeros((30, 40), np.uint8)
    values[:, :20] = 1
    Image.new("RGB", (40, 30)).save(tmp_path / "a.jpg")
    Image.fromarray(values).save(tmp_path / "a.png")
    for meaning in ("binary", "ids"):
        drawn = np.asarray(Pairs(tmp_path, meaning).mask(0, rng(0)))
        assert np.array_equal(drawn, values * 255), meaning


def test_void_of_still_images_does_not_count(tmp_path):
    values = np.zeros((30, 40), np.uint8)
    values[:, :10], values[:, 30:] = 1, 255
    Image.new("RGB", (40, 30)).save(tmp_path / "a.jpg")
    Image.fromarray(values).save(tmp_path / "a.png")
    stage = load_stage("stcn/static", [], [f"fss={tmp_path}"], "tiny")
    sample = Images(stage.data["fss"], stage.augmentation, 3, 32).draw(0, rng(0))
    assert sample.masks.shape == (3, 1, 32, 32) and sample.given.shape == (1, 32, 32)
    assert sample.void.any() and not (sample.void & (sample.masks[:, 0] > 127)).any()


def test_frames_of_videos_that_are_held_out_are_no_still_images(make_videos, tmp_path):
    make_videos(tmp_path, 3)
    assert {pair.image.parent.name for pair in find_pairs(tmp_path)} == {"a00000", "a00001", "a00002"}
    (tmp_path / "ImageSets/train.txt").write_text("a00000\n")
    (tmp_path / "ImageSets/2016").mkdir()
    (tmp_path / "ImageSets/2016/train.txt").write_text("/JPEGImages/a00002/00000.jpg /Annotations/a00002/00000.png\n")
    assert {pair.image.parent.name for pair in find_pairs(tmp_path)} == {"a00000", "a00002"}


def test_still_images_become_sequences_with_soft_masks(videos):
    stage = load_stage("stcn/static", ["size=96"], [str(videos)])
    mixture = open_mixture(stage)
    samples = [mixture[Draw(0, n, 0, n, 1)] for n in range(6)]
    assert all(s.images.shape == (3, 3, 96, 96) and s.masks.shape == (3, 1, 96, 96) for s in samples)
    assert not any(torch.equal(s.images[0], s.images[1]) for s in samples)
    assert any(((s.masks > 0) & (s.masks < 255)).any() for s in samples)
    assert np.mean([float((s.masks > 127).float().mean()) for s in samples]) > 0.02


def test_hidden_cells_are_background_of_mean_colour_in_all_frames_but_the_first(videos):
    hide = "augmentation.hide_and_seek={cells: 8, chance: [0.3, 0.5]}"
    plain, hidden = (open_mixture(load_stage("stm/static", ["size=96", *o], [str(videos)])) for o in ([], [hide]))
    samples = [[mixture[Draw(0, n, 0, n, 1)] for n in range(12)] for mixture in (plain, hidden)]
    shares = []
    for before, after in zip(*samples, strict=True):
        assert torch.equal(before.images[0], after.images[0]) and torch.equal(before.given, after.given)
        changed = (before.images != after.images).any(1)[1:]
        cells = changed.unflatten(-1, (8, 12)).unflatten(-3, (8, 12))  # (2, 8, 12, 8, 12): frames, then cells
        mean = torch.tensor(transforms.FILL, dtype=torch.uint8).view(3, 1, 1)
        gone = (after.images[1:] == mean).all(1).unflatten(-1, (8, 12)).unflatten(-3, (8, 12)).all(4).all(2)
        assert not (cells.any(4).any(2) & ~gone).any()  # a cell is changed as a whole
        whole = gone.repeat_interleave(12, 1).repeat_interleave(12, 2)
        assert not after.masks[1:, 0][whole].any()
        assert torch.equal(after.masks[1:, 0][~whole], before.masks[1:, 0][~whole])
        shares.append(gone.float().mean().item())
    assert 0.3 < np.mean(shares) < 0.65  # pixels outside the image have the same colour


def test_rde_is_given_a_perturbed_first_mask_and_trained_on_the_true_one(videos):
    stage = load_stage("rde/bl30k", ["size=96"], [str(videos)])
    sample = open_mixture(stage)[Draw(0, 0, 0, 0, 5)]
    true, given = sample.masks[0, 0] > 0, sample.given[0] > 0
    assert sample.images.shape[0] == 5 and 0.6 < (true & given).sum() / (true | given).sum() < 1


# --- order --------------------------------------------------------------------------------------------------------


def test_samples_do_not_depend_on_workers_or_on_where_a_run_begins(tiny):
    stage = tiny("stcn/bl30k", "iterations=5")
    mixture = open_mixture(stage)
    alone = list(loader(mixture, order_of(stage, mixture), 0))
    several = list(loader(mixture, order_of(stage, mixture), 2))
    later = list(loader(mixture, order_of(stage, mixture, first=3), 0))
    assert len(alone) == 5 and len(later) == 2
    assert all(same(a, b) for a, b in zip(alone, several, strict=True))
    assert all(same(a, b) for a, b in zip(alone[3:], later, strict=True))
    assert not same(alone[0], alone[1])
    other = open_mixture(tiny("stcn/bl30k", "seed=1"))
    assert not same(alone[0], next(loader(other, order_of(tiny("stcn/bl30k", "seed=1"), other), 0)))


def test_samples_are_the_same_where_processes_are_spawned(tiny):
    """Processes are spawned on macOS."""
    stage = tiny("stcn/bl30k", "iterations=2")
    mixture, before = open_mixture(stage), multiprocessing.get_start_method()
    multiprocessing.set_start_method("spawn", force=True)
    try:
        spawned = list(loader(mixture, order_of(stage, mixture), 1))
    finally:
        multiprocessing.set_start_method(before, force=True)
    assert all(map(same, spawned, loader(mixture, order_of(stage, mixture), 0)))


def test_processes_share_each_iteration(tiny):
    stage = tiny("stcn/bl30k", "iterations=3")
    mixture = open_mixture(stage)
    alone = list(order_of(stage, mixture))
    for world, step in [(2, 4), (4, 4), (1, 1), (2, 1)]:
        changed = tiny("stcn/bl30k", "iterations=3", f"runtime.batch_per_step={step}")
        orders = [order_of(changed, mixture, rank=rank, world=world) for rank in range(world)]
        parts = [list(order) for order in orders]
        steps = orders[0].steps
        for i in range(3):
            drawn = [d for part in parts for s in part[i * steps : (i + 1) * steps] for d in s]
            assert drawn == alone[i]
    with pytest.raises(UserError, match="cannot be shared"):
        order_of(stage, mixture, world=3)


def test_weights_are_copies_in_an_epoch(videos):
    source = "{kind: videos, path: %s, weight: %s, split: train, names: null, share: 1, annotated_every: 1, "
    source += "label_filter: none, crop_scale: [0.36, 1]}"
    data = f"data={{a: {source % (videos, 2.5)}, b: {source % (videos, 1)}}}"
    mixture = open_mixture(load_stage("stcn/bl30k", ["size=64", "data=null", data]))
    order = mixture.order(0)
    assert mixture.epoch_length() == len(order) == 15 + 6
    counts = np.bincount(order[order[:, 0] == 0, 1])
    assert sorted(counts) == [2, 2, 2, 3, 3, 3]
    assert not np.array_equal(order, mixture.order(1)) and np.array_equal(order, mixture.order(0))


@pytest.mark.parametrize("size", [(96, 64), (107, 61), (301, 173)])
@pytest.mark.parametrize("saved", [{"quality": 75}, {"quality": 92, "subsampling": 0, "progressive": True}])
def test_pixels_are_those_that_pillow_decodes(size, saved):
    """At every scale, with grey JPEGs and odd sizes; damaged files are errors."""
    noise = np.random.default_rng(0).integers(0, 255, (size[1] // 4, size[0] // 4, 3), np.uint8)
    image = Image.fromarray(noise).resize(size)
    for mode in ("RGB", "L"):
        out = io.BytesIO()
        image.convert(mode).save(out, "JPEG", **saved)
        data = out.getvalue()
        for crop in (200, 64, 31, 16, 7, 3):
            call = ((0, 0, *size), (crop, crop), "a")
            expected = np.asarray(transforms.decode(transforms.open_image(data, "a"), *call))
            assert np.array_equal(transforms.decode_pixels(transforms.open_image(data, "a"), *call), expected)
        with pytest.raises(UserError, match="b is damaged"):
            half = data[: len(data) * 3 // 4]
            transforms.decode_pixels(transforms.open_image(half, "b"), (0, 0, *size), (crop, crop), "b")


def test_a_damaged_file_is_skipped_and_named(tmp_path, make_videos):
    root = make_videos(tmp_path, 3)
    for path in (root / "Annotations/a00001").iterdir():
        path.write_bytes(path.read_bytes()[:50])
    mixture = open_mixture(load_stage("stcn/bl30k", ["size=64"], [str(root)]))
    sample = mixture[Draw(0, 0, 0, 1, 5)]
    assert "a00001" not in sample.name and any("a00001" in text for text in sample.skipped)
    assert same(sample, mixture[Draw(0, 0, 0, 1, 5)])
    for path in root.glob("JPEGImages/*/*.jpg"):
        path.write_bytes(b"not an image")
    with pytest.raises(UserError, match="damaged"):
        mixture[Draw(0, 0, 0, 1, 5)]


def test_short_videos_are_replaced(tmp_path, make_videos):
    root = make_videos(tmp_path, 2)
    for path in sorted((root / "Annotations/a00000").iterdir())[2:]:
        path.unlink()
    mixture = open_mixture(load_stage("stcn/bl30k", ["size=64"], [str(root)]))
    sample = mixture[Draw(0, 0, 0, 0, 5)]
    assert sample.name.startswith("a00001") and sample.skipped == ()


def test_samples_are_plain_values(tiny):
    sample = open_mixture(tiny("stcn/bl30k"))[Draw(0, 0, 0, 0, 5)]
    with pytest.raises(dataclasses.FrozenInstanceError):
        sample.name = "other"
