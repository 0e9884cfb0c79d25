import numpy as np
import pytest
from PIL import Image

from bl30k_gen.dataset import preview
from bl30k_gen.dataset.info import summarise
from bl30k_gen.dataset.masks import MaskFrame
from bl30k_gen.dataset.reader import open_dataset
from bl30k_gen.errors import UserError


def test_overlay_tints_and_outlines_objects_and_leaves_the_background():
    ids = np.zeros((9, 9), np.uint8)
    ids[2:7, 2:7] = 1
    ids[2:7, 5:7] = 2
    void = np.zeros((9, 9), bool)
    void[8] = True
    rgb = np.full((9, 9, 3), 100, np.uint8)
    out = preview.overlay(rgb, MaskFrame(ids, void, "ids"))
    assert (out[0] == 100).all()
    assert out[2, 2].tolist() == [255, 0, 0]  # outline of object 1
    assert out[2, 6].tolist() == [0, 255, 0]
    assert out[4, 4].tolist() == [255, 0, 0]  # where they meet
    assert out[4, 3].tolist() == [154, 65, 65]  # inside
    assert (out[8] == 154).all()


def test_contact_sheet_shows_each_video_twice(dataset):
    store = open_dataset(dataset.root)
    sheet = np.asarray(preview.contact_sheet(store, ["a00000", "a00002"], columns=4, tile_width=96))
    assert sheet.shape == (2 * (16 + 2 * (64 + 4) + 4), 4 * 100 - 4, 3)
    assert (sheet[16:80, :96] == store.read_rgb("a00000", 0)).all()
    assert (sheet[16:80, 300:396] == store.read_rgb("a00000", 7)).all()  # first and last frames are shown
    marked = preview.overlay(store.read_rgb("a00000", 0), store.read_mask("a00000", 0))
    assert (sheet[84:148, :96] == marked).all()


def test_a_contact_sheet_grows_with_every_finished_video_until_it_is_full(dataset, tmp_path, monkeypatch):
    store, path = open_dataset(dataset.root), tmp_path / "sheet.png"
    growing = preview.GrowingSheet(dataset.root, path)
    for new, shown in (("a00002", ["a00002"]), ("a00000", ["a00000", "a00002"])):
        assert growing.add(new)
        assert np.array_equal(np.asarray(Image.open(path)), preview.contact_sheet(store, shown))
    assert not growing.add("a00000")
    monkeypatch.setattr(preview, "_VIDEOS", 2)
    assert not growing.add("a00001")
    with pytest.raises(UserError, match="no contact sheet"):
        preview.GrowingSheet(dataset.root, tmp_path / "sheet.gif")


def test_a_large_dataset_is_sampled(dataset, monkeypatch):
    store = open_dataset(dataset.root)
    store.videos = [store.videos[i % 3] for i in range(100)]
    sheet = preview.contact_sheet(store, columns=2, tile_width=48)
    assert sheet.height == 12 * (16 + 2 * (32 + 4) + 4)


def test_sheets_are_jpeg_below_a_megabyte_unless_the_suffix_says_png(dataset, tmp_path):
    store = open_dataset(dataset.root)
    sheet, moving = preview.write(store, None, tmp_path / "look")
    assert (sheet, moving) == (tmp_path / "look/contact_sheet.jpg", tmp_path / "look/animation.webp")
    for name, kind in (("a.png", "PNG"), ("b.webp", "WEBP"), ("c.JPG", "JPEG")):
        assert preview.write(store, None, tmp_path / name)[0] == tmp_path / name
        with Image.open(tmp_path / name) as image:
            assert image.format == kind
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (1200, 1400, 3), np.uint8))
    assert len(preview.encode_sheet(noise, tmp_path / "n.jpg")) < preview.SHEET_BYTES
    assert len(preview.encode_sheet(noise, tmp_path / "n.png")) > preview.SHEET_BYTES
    with pytest.raises(UserError, match="too large for JPEG"):
        preview.encode_sheet(Image.new("RGB", (1, 70_000)), tmp_path / "n.jpg")
    with pytest.raises(UserError, match="name of the animation"):
        preview.write(store, None, tmp_path / "animation.webp")
    for place in (dataset.root / "look", dataset.root / "JPEGImages/a00000/00000.jpg"):
        with pytest.raises(UserError, match="which is read"):
            preview.write(store, None, place)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/contact_sheet.jpg").write_bytes(b"")
    with pytest.raises(UserError, match="which this command did not make"):
        preview.write(store, None, tmp_path / "mine")


@pytest.mark.parametrize("masks", [True, False])
def test_animation_has_every_frame(dataset, tmp_path, masks):
    store = open_dataset(dataset.root)
    preview.animation(store, "a00001", tmp_path / "x/a.webp", masks, width=192)
    with Image.open(tmp_path / "x/a.webp") as image:
        assert (image.n_frames, image.size, image.info["loop"]) == (8, (192, 128), 0)
        image.seek(4)
        shown = np.asarray(image.convert("RGB")).astype(int)
    plain = np.asarray(Image.fromarray(store.read_rgb("a00001", 4)).resize((192, 128), Image.Resampling.LANCZOS))
    changed = np.abs(shown - plain).max(-1) > 60
    assert changed.any() == masks


def test_preview_names_the_problem(dataset, tmp_path):
    store = open_dataset(dataset.root)
    with pytest.raises(UserError, match="webp"):
        preview.animation(store, "a00001", tmp_path / "a.mp4")
    with pytest.raises(UserError, match="has no video a00009"):
        preview.contact_sheet(store, ["a00009"])
    with pytest.raises(UserError, match="no finished video"):
        preview.contact_sheet(store, [])


def test_summary_counts(dataset):
    store = open_dataset(dataset.root)
    files = [p for p in dataset.root.rglob("*") if p.is_file() and p.suffix in (".jpg", ".png", ".json")]
    assert summarise(store) == {
        "videos": 3,
        "frames": 24,
        "frames_per_video": [8, 8],
        "size": [96, 64],
        "sizes": [[96, 64]],
        "splits": {"train": 2, "val": 1},
        "bytes": sum(p.stat().st_size for p in files),
    }


def test_summary_of_real_videos(davis):
    summary = summarise(open_dataset(davis))
    assert (summary["videos"], summary["frames"], summary["size"]) == (12, 826, [854, 480])


def test_a_frame_of_another_size_is_named(dataset):
    """And not enlarged to the width of a tile: a stripe of 2x3000 pixels would take gigabytes."""
    store = open_dataset(dataset.root)
    Image.new("RGB", (2, 3000)).save(dataset.rgb("a00000", 0))
    with pytest.raises(UserError, match=r"00000.jpg is 2x3000 pixels, its mask 96x64"):
        preview.contact_sheet(store, ["a00000"])
    Image.new("P", (2, 3000)).save(dataset.mask("a00000", 0))
    with pytest.raises(UserError, match="too tall for a contact sheet"):
        preview.contact_sheet(store, ["a00000"])
