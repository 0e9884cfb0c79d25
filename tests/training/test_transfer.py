"""The study of factors on real video, shortened; in full: ``make campaign-transfer``."""

import sys

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.learning import cutouts, small, transfer, transfer_renders
from bl30k_gen.config import load_config
from bl30k_gen.dataset.reader import open_dataset
from bl30k_gen.seeding import rng
from bl30k_gen.settings import difference


@pytest.fixture(scope="module")
def renders(make_videos, tmp_path_factory):
    """Rendered videos; all datasets of the study are these, by their parent folder."""
    folder = tmp_path_factory.mktemp("transfer")
    root = make_videos(folder / transfer.USUAL, 3)
    (root / "ImageSets/val.txt").write_text("a00002\n")
    for name in ("many", "slow", "sharp", "photos", "own_materials", *transfer.VARIANTS):
        (folder / name).symlink_to(root)
    return root


@pytest.fixture(autouse=True)
def small_crops(tmp_path, monkeypatch):
    """Crops of 32 pixels, which take seconds instead of half a minute."""
    preset = tmp_path / "preset.yaml"
    preset.write_text(transfer.PRESET.read_text().replace("size: 96", "size: 32"))
    monkeypatch.setattr(transfer, "PRESET", preset)


@pytest.fixture
def plain_pictures(monkeypatch):
    """Coarse noise instead of the built-in images, which take a second each."""

    def picture(random, count):
        coarse = random.integers(0, 255, (12, 16, 3), dtype=np.uint8)
        return np.asarray(Image.fromarray(coarse).resize((256, 192)))

    monkeypatch.setattr(cutouts, "any_picture", picture)


def test_the_study_ends_with_a_page_and_continues(renders, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(transfer, "SHORT_SIDE", 48)
    monkeypatch.setattr(transfer, "DISTANCES", (1, 5))
    monkeypatch.setattr(small, "RESAMPLES", 20)
    options = f"--out {tmp_path} --results {tmp_path}/results --iterations 1 --seeds 1".split()
    for name in ("statistics frozen", "group norm", "judged at 160"):
        options += ["--factor", name]
    monkeypatch.setattr(sys, "argv", ["transfer", str(renders.parent), str(renders), *options])
    transfer.main()
    page = (tmp_path / "results/transfer.md").read_text()
    rows = {line.split(" | ")[0].removeprefix("| "): line for line in page.splitlines() if line.startswith("| ")}
    assert list(rows)[2:] == [transfer.COPIED, "statistics frozen", "group norm", "judged at 160"]
    assert rows["group norm"].endswith("to statistics frozen |")
    assert rows["judged at 160"].endswith("to group norm |")
    with Image.open(tmp_path / "results/transfer.png") as picture:
        assert picture.size[0] > 400
    runs = sorted(path.name for path in (tmp_path / "runs").iterdir())
    assert runs == ["group-norm-1-0", "statistics-frozen-1-0"]  # factors of inference train nothing
    monkeypatch.setattr(transfer, "scores", None)  # nothing is computed again
    transfer.main()
    assert (tmp_path / "results/transfer.md").read_text().count("| group norm |") == 1


def test_trained_statistics_give_a_different_network(renders, tmp_path):
    study = transfer.Study(renders.parent, renders, tmp_path, iterations=2, flat=1)
    networks = {}
    for name in ("statistics frozen", "statistics learned"):
        folder = study.train(transfer.BY_NAME[name], 0)
        networks[name] = torch.load(folder / "network.pt", weights_only=True)["weights"]
        start = torch.load(tmp_path / "starts" / f"{folder.name}.pt", weights_only=True)["weights"]
        same = torch.equal(networks[name]["key_encoder.bn1.running_mean"], start["key_encoder.bn1.running_mean"])
        assert same == (name == "statistics frozen")


def test_batch_norms_can_have_the_statistics_of_real_frames(renders, tmp_path, make_videos):
    real = make_videos(tmp_path / "real", 2)
    study = transfer.Study(renders.parent, real, tmp_path, iterations=1, flat=1)
    means = {}
    for name in ("statistics frozen", "statistics of real frames", "statistics of both"):
        stage = study.calibration(transfer.BY_NAME[name], 0)
        start = transfer.calibrated(stage, tmp_path / f"{name}.pt", batches=1)
        means[name] = torch.load(start, weights_only=True)["weights"]["key_encoder.bn1.running_mean"]
        weights = [source.weight for source in stage.data.values() if source.weight]
        assert len(weights) == (2 if name == "statistics of both" else 1)
    assert len({tuple(mean.tolist()) for mean in means.values()}) == 3


@pytest.mark.parametrize("name", ["variants too", "hide-and-seek"])
def test_a_factor_with_other_data_can_be_trained(renders, tmp_path, name):
    study = transfer.Study(renders.parent, renders, tmp_path, iterations=1, flat=1)
    assert (study.train(transfer.BY_NAME[name], 0) / "network.pt").exists()


def test_each_factor_has_a_stage_of_its_own(renders, tmp_path, plain_pictures):
    study = transfer.Study(renders.parent, renders, tmp_path, iterations=1, flat=1)
    same = ("statistics learned", "statistics of real frames", "statistics of both")  # other start, same training
    factors = [factor for factor in transfer.FACTORS if not factor.options and factor.name not in same]
    stages = {factor.name: study.stage(factor, 0) for factor in factors}
    assert len({str(stage) for stage in stages.values()}) == len(factors)


def test_added_datasets_are_sampled_as_often_as_the_first(renders, tmp_path):
    study = transfer.Study(renders.parent, renders, tmp_path, iterations=1, flat=1)
    sources = study.stage(transfer.BY_NAME["variants too"], 0).data
    videos = len(open_dataset(renders).videos)
    added = sum(sources[name].weight * videos for name in transfer.VARIANTS)
    assert added == pytest.approx(sources["bl30k"].weight * videos)


def test_the_changed_datasets_differ_from_the_usual_one_only_as_said(tmp_path):
    configs = {}
    for renders in transfer_renders.all_renders(tmp_path, tmp_path / "photos"):
        configs[renders.name] = load_config(renders.config, renders.changes)
    usual = configs[transfer.USUAL]
    changed = {name: set(difference(usual.flat(), config.flat())) for name, config in configs.items()}
    assert changed["many"] == set()
    assert changed["slow"] == {"motion.location_speed", "motion.rotation_speed", "camera.speed"}
    assert changed["sharp"] == changed["photos"] == {"assets.backgrounds"}
    assert changed["own_materials"] == {"objects.retexture_mapped", "objects.retexture_unmapped"}
    assert "photos" not in {renders.name for renders in transfer_renders.all_renders(tmp_path, None)}
    assert all(configs[name].video == usual.video for name in transfer.VARIANTS)
    assert all(
        "objects" in " ".join(changed[name]) or "camera" in " ".join(changed[name]) for name in transfer.VARIANTS
    )


def test_intervals_hold_the_mean_and_shrink_with_videos():
    values = rng(0, "test").normal(30, 10, (2, 40))
    low, high = small.interval(values)
    assert low < values.mean() < high
    few = small.interval(values[:, :6])
    assert few[1] - few[0] > high - low


def test_copy_paste_videos_are_a_function_of_renders_seed_and_number(renders, plain_pictures, tmp_path):
    cut = cutouts.cut_out(open_dataset(renders), min_pixels=20)
    first, again, other = (list(cutouts.make_video(cut, 0, number, 1)) for number in (0, 0, 1))
    assert all(np.array_equal(a[0], b[0]) and np.array_equal(a[1], b[1]) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a[1], b[1]) for a, b in zip(first, other, strict=True))
    assert len(first) == cutouts.FRAMES and first[0][0].shape == (cutouts.HEIGHT, cutouts.WIDTH, 3)
    assert len(np.unique(first[0][1])) > 1


def test_a_flat_object_is_where_its_mask_says():
    red = cutouts.Cutout(np.full((40, 40, 3), (255.0, 0, 0), np.float32), np.ones((40, 40), np.float32))
    flyer = cutouts.Flyer(rng(3, "test"), red)
    canvas = np.zeros((cutouts.HEIGHT, cutouts.WIDTH, 3), np.float32)
    ids = np.zeros((cutouts.HEIGHT, cutouts.WIDTH), np.uint8)
    flyer.draw(canvas, ids, 7, 0)
    assert set(np.unique(ids)) == {0, 7}
    assert canvas[ids == 7].min(0)[0] > 120 and canvas[ids == 0].max() < 130


def test_copies_as_of_a_camera_keep_their_masks(renders, tmp_path):
    store, copies = open_dataset(renders), open_dataset(transfer.as_a_camera(renders, tmp_path / "camera"))
    assert copies.videos == store.videos
    assert copies.mask_bytes("a00000", 3) == store.mask_bytes("a00000", 3)
    assert not np.array_equal(copies.read_rgb("a00000", 3), store.read_rgb("a00000", 3))
