import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from bl30k_gen.dataset import files
from bl30k_gen.dataset.reader import open_dataset
from bl30k_gen.errors import UserError
from models import checkpoint
from models.fusion import Fusion, FusionConfig
from tests.support.stages import network_of
from tests.support.videos import mask, write_masks, write_video
from training.cli import app
from training.data.fusion import CropWindow, open_fusion_set, read_provenance, shards_in
from training.data.mixture import Draw, open_mixture
from training.data.sample import FusionBatch
from training.data.transforms import FILL, recolour_pixels
from training.engine import visualisation
from training.engine.distributed import Processes
from training.engine.trainer import Trainer
from training.pipeline import fusion_data
from training.runs.folder import RunFolder
from training.schema.stage import load_stage
from training.tasks.fusion import FusionStep
from training.tasks.losses import hard_pixel_ratio


def test_fusion_is_trained_as_published(shared, recipe, published_weights, check_gradients):
    gold = np.load(shared / "golden/mivos_fusion_train.npz")
    decoder = published_weights("mivos_prop_keys", {})
    encoders = published_weights("mivos_attn_keys", {"key_proj.weight": 4.0})
    alignment = checkpoint.from_published(decoder | encoders, "stm")
    network = checkpoint.from_published(published_weights("mivos_fusion_keys", {}), "fusion")

    def images(name: str) -> torch.Tensor:
        return torch.from_numpy(np.concatenate([recipe.image(f"{name}{b}", 96, 160) for b in (0, 1)]))

    def masks(name: str, kind) -> torch.Tensor:
        """Remove the second object of the second sample."""
        stacked = [[kind(f"{name}_{b}", 96, 160, o) * (o + b < 2) for o in (0, 1)] for b in (0, 1)]
        return torch.from_numpy(np.array(stacked, np.float32))

    batch = FusionBatch(
        image=images("fim"),
        reference=images("fref"),
        older=masks("s1", recipe.soft_mask),
        newer=masks("s2", recipe.soft_mask),
        before=masks("r1", recipe.soft_mask),
        after=masks("rg", recipe.hard_mask),
        true=masks("g", recipe.hard_mask),
        distance=torch.tensor([[0.25, 0.75], [0.6, 0.4]]),
        present=torch.tensor([[True, True], [True, False]]),
    )
    step = FusionStep(network, alignment)
    for iteration in (0, 350, 900):
        share = hard_pixel_ratio(iteration, (200, 500), 0.15)
        assert share == pytest.approx(float(gold[f"it{iteration}/p"]))
        network.zero_grad()
        loss, _, _ = step(batch, share)
        loss.backward()
        np.testing.assert_allclose(loss.item(), gold[f"it{iteration}/total_loss"], rtol=1e-4)
        check_gradients(network, gold, f"it{iteration}")
    assert not any(parameter.requires_grad for parameter in alignment.parameters())
    assert {id(p) for p in step.parameters()} == {id(p) for p in network.parameters()}


def test_differences_need_an_alignment():
    with pytest.raises(ValueError, match="needs a propagation network"):
        FusionStep(Fusion(), None)
    with pytest.raises(ValueError, match="weights of another one"):
        FusionStep(Fusion(), Fusion())
    FusionStep(Fusion(FusionConfig(difference_aware=False)), None)


@pytest.fixture(scope="module")
def fusion_set(videos, tmp_path_factory):
    """References 0, 5 and 11 of two videos; the shift of masks grows with the distance from their reference."""
    root = tmp_path_factory.mktemp("fusion")
    files.write_atomically(root / "fusion.json", json.dumps({"dataset": str(videos)}))
    store = open_dataset(videos)
    for name in ("a00000", "a00002"):
        for reference in (0, 5, 11):
            for frame in range(12):
                ids = np.roll(store.read_mask(name, frame).ids, 2 * (frame - reference), axis=1)
                for label in (1, 2, 3) if reference else (1, 2):
                    mask = Image.fromarray((ids == label).astype(np.uint8) * 250)
                    path = root / f"{name}/{reference:05d}/{label:05d}/{frame:05d}.png"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    mask.save(path)
    return root


@pytest.fixture(scope="module")
def alignment(tiny, tmp_path_factory):
    path = tmp_path_factory.mktemp("stm") / "stm.pt"
    checkpoint.save(network_of(tiny("stm/bl30k")), path)
    return path


def test_samples_pair_two_propagations_of_one_frame(fusion_set, videos):
    stage = load_stage("fusion/bl30k", ["augmentation.sequence.flip=0"], [str(fusion_set)], "tiny")
    mixture, store = open_mixture(stage), open_dataset(videos)
    batch = mixture.collate([mixture[Draw(0, n, 0, n % 2, 1)] for n in range(24)])
    assert batch.image.shape == (24, 3, 64, 64) and batch.older.shape == (24, 2, 64, 64)
    assert torch.equal(mixture[Draw(0, 3, 0, 1, 1)].older, batch.older[3])
    for b, text in enumerate(batch.names):
        name, frame, _, older, _, newer = text.split()
        frame, older, newer = int(frame), int(older), int(newer)
        assert older != newer and frame not in (older, newer)
        expected = [abs(older - frame) / abs(older - newer), abs(newer - frame) / abs(older - newer)]
        np.testing.assert_allclose(batch.distance[b], expected, rtol=1e-6)
        assert batch.older[b].max() <= 250 and set(batch.true[b].unique().tolist()) <= {0, 255}
        # The newer propagation was shifted by two pixels a frame from the truth.
        shift = 2 * (frame - newer)
        true, moved = batch.true[b, 0] > 0, batch.newer[b, 0] > 0
        inner = slice(24, 40)
        assert torch.equal(torch.roll(true, shift, 1)[:, inner], moved[:, inner]) or abs(shift) > 20
    assert ((batch.older[:, 0].int() - batch.newer[:, 0].int()).abs() > 25).sum((1, 2)).min() >= 100
    assert batch.present[:, 1].any() and store.videos


def test_a_view_crops_before_anything_else():
    rgb = np.random.default_rng(0).integers(0, 256, (40, 56, 3), dtype=np.uint8)
    steps = [("contrast", 0.5), ("brightness", 1.2)]
    shown = CropWindow((56, 40), 8, 4, 32, True, steps).of_image(Image.fromarray(rgb)).movedim(0, -1)
    np.testing.assert_array_equal(shown, recolour_pixels(rgb[4:36, 8:40].copy(), steps)[:, ::-1])
    larger = CropWindow((56, 40), 0, 0, 64, False, steps)
    shown, mask = larger.of_image(Image.fromarray(rgb)), larger.of_mask(rgb[..., 0], "a.png")
    np.testing.assert_array_equal(shown[:, :40, :56].movedim(0, -1), recolour_pixels(rgb, steps))
    fill = torch.tensor(FILL).view(3, 1, 1)
    assert (shown[:, 40:] == fill).all() and (shown[:, :, 56:] == fill).all()
    assert mask.shape == (64, 64) and not mask[40:].any() and not mask[:, 56:].any() and mask[:40, :56].any()
    with pytest.raises(UserError, match=r"a.png is \(55, 40\) pixels, its frame \(56, 40\)"):
        larger.of_mask(rgb[:, 1:, 0], "a.png")


def test_fusion_and_its_controls_are_trained(fusion_set, alignment, tmp_path):
    def overlaps(*overrides):
        overrides = [
            "iterations=70",
            "runtime.log_every=1",
            "loss.warm_up=[70, 70]",
            "optimiser.decay_at=[70]",
            *overrides,
        ]
        stage = load_stage("fusion/bl30k", overrides, [str(fusion_set)], "tiny")
        out = tmp_path / str(len(list(tmp_path.iterdir())))
        Trainer(stage, out, Processes(0, 1, torch.device("cpu"))).run()
        assert checkpoint.load(RunFolder(out).network, "fusion").config.dim == 8
        return [r["iou"] for r in RunFolder(out).records()]

    aware = overlaps(f"alignment={alignment}")
    assert sum(aware[-5:]) > sum(aware[:5]) + 1.5
    assert len(overlaps("model.difference_aware=false", "iterations=2")) == 2
    with pytest.raises(UserError, match="set alignment=CHECKPOINT"):
        overlaps()


def test_mistakes_are_named(fusion_set, videos, tmp_path):
    with pytest.raises(UserError, match="is no fusion set"):
        open_mixture(load_stage("fusion/bl30k", data=[str(videos)]))
    with pytest.raises(UserError, match="lacks video a00000"):
        (tmp_path / "JPEGImages/other").mkdir(parents=True)
        videos_elsewhere = [f"data.bl30k_fusion.videos={tmp_path}"]
        open_mixture(load_stage("fusion/bl30k", videos_elsewhere, [f"bl30k_fusion={fusion_set}"]))
    for record, words in (
        ({}, "its dataset is no path"),
        ({"dataset": "d", "masks": "grey"}, "masks are 'grey': they"),
    ):
        with pytest.raises(UserError, match=words):
            read_provenance(json.dumps(record).encode(), Path("fusion.json"))
    assert read_provenance(b'{"dataset": "d"}', Path("fusion.json")) == ("d", None)
    with pytest.raises(UserError, match="kind fusion train the network fusion"):
        load_stage("fusion/bl30k", ["network=stm"])


def test_saved_samples_show_the_fusions_inputs_and_output(fusion_set):
    mixture = open_mixture(load_stage("fusion/bl30k", data=[str(fusion_set)], preset="tiny"))
    batch = mixture.collate([mixture[Draw(0, n, 0, n, 1)] for n in range(2)]).to(torch.device("cpu"))
    assert visualisation.show(batch).shape == (2 * 64, 5 * 64, 3)
    assert visualisation.show(batch, batch.true).shape == (2 * 64, 6 * 64, 3)


def test_made_data_trains_fusion(videos, tiny, alignment, tmp_path):
    def make(**changes):
        return fusion_data.make_fusion_data(alignment, videos, tmp_path / "set", None, **{"separation": 5, **changes})

    assert make(shard=(0, 3)) == 2 and make(shard=(1, 3)) == 2
    root = tmp_path / "set"
    assert sorted(p.name for p in root.iterdir()) == ["a00000", "a00001", "a00003", "a00004", "fusion.json"]
    assert sorted(p.name for p in (root / "a00000").iterdir()) == ["00000", "00005", "00010"]
    assert sorted(p.name for p in (root / "a00000/00005").iterdir()) == ["00001", "00002", "00003"]
    frames = sorted(int(p.stem) for p in (root / "a00000/00005/00001").iterdir())
    assert frames == [0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11]
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*.png")}
    assert make(shard=(0, 3)) == 2
    assert before == {path: path.stat().st_mtime_ns for path in root.rglob("*.png")}
    with pytest.raises(UserError, match="made with separation = 5, not 4"):
        make(separation=4)
    stage = load_stage("fusion/bl30k", ["iterations=2", f"alignment={alignment}"], [str(root)], "tiny")
    Trainer(stage, tmp_path / "run", Processes(0, 1, torch.device("cpu"))).run()
    assert RunFolder(tmp_path / "run").network.exists()
    assert json.loads((root / "fusion.json").read_text())["checkpoint"] == files.sha256(alignment)


def test_soft_masks_make_a_fusion_set_only_where_the_user_says_so(alignment, tmp_path):
    write_video(tmp_path / "soft", "a", 6)
    write_masks(tmp_path / "soft/Annotations/a", [mask(n, 255, soft=3) for n in range(6)])
    command = ["make-fusion-data", str(alignment), str(tmp_path / "soft"), "--out", str(tmp_path / "set")]
    command += ["--separation", "3", "--range", "1", "--device", "cpu"]
    refused = CliRunner().invoke(app, command)
    assert isinstance(refused.exception, UserError) and "has soft edges" in str(refused.exception)
    assert not (tmp_path / "set/a").exists()
    made = CliRunner().invoke(app, [*command, "--masks", "soft"])
    assert made.exit_code == 0, made.output
    assert sorted(path.name for path in (tmp_path / "set/a").iterdir()) == ["00000", "00003"]
    source = open_mixture(load_stage("fusion/bl30k", data=[str(tmp_path / "set")], preset="tiny")).sources[0]
    assert set(np.unique(source.store.read_mask("a", 0).ids)) == {0, 1}, "training takes them for the same"


@pytest.mark.parametrize("kind", ["tar", "hdf5"])
def test_packed_sets_give_the_same_samples(fusion_set, videos, alignment, tmp_path, monkeypatch, kind):
    """Two machines make and pack a set, one of them interrupted; the loader reads it like the folder."""
    names = ["a00000", "a00001", "a00002"]
    folder = tmp_path / "folder"
    shutil.copytree(fusion_set, folder)
    shutil.copytree(folder / "a00000", folder / "a00001")

    def make(out, **changes):
        return fusion_data.make_fusion_data(alignment, videos, tmp_path / out, names, **changes)

    def copy(writer, name):
        shutil.copytree(folder / name, writer.out / name)

    monkeypatch.setattr(fusion_data.VideoWriter, "write", copy)
    monkeypatch.setattr(fusion_data, "PER_SHARD", 1)
    monkeypatch.setattr(fusion_data.shutil, "rmtree", interrupted := Interrupted(fusion_data.shutil.rmtree))
    with pytest.raises(KeyboardInterrupt):
        make("packed", to=kind, shard=(0, 2))  # the first video is packed, and its loose files still exist
    monkeypatch.setattr(fusion_data.shutil, "rmtree", interrupted.real)
    with pytest.raises(UserError, match="holds a00000 beside packed files"):
        open_fusion_set(tmp_path / "packed")
    made = make("packed", to=kind, shard=(0, 2), say=(said := []).append)
    assert made == 2 and said == ["a00002: 3 references; video 2 of 2"]
    assert make("packed", to=kind, shard=(1, 2)) == 1

    def packed_files():
        return [(path.name, path.stat().st_mtime_ns) for path in shards_in(tmp_path / "packed")]

    before = packed_files()
    suffix = {"tar": ".tar", "hdf5": ".h5"}[kind]
    assert [name for name, _ in before] == [f"fusion_{name}{suffix}" for name in names]
    assert not any(path.is_dir() for path in (tmp_path / "packed").iterdir())

    def samples(root):
        mixture = open_mixture(load_stage("fusion/bl30k", data=[str(root)], preset="tiny"))
        assert mixture.sources[0].names == names
        return mixture.collate([mixture[Draw(0, n, 0, n, 1)] for n in range(3)])

    loose, tight = (samples(tmp_path / name) for name in ("folder", "packed"))
    for field in (*FusionBatch.IMAGES, *FusionBatch.MASKS, "distance", "present"):
        assert torch.equal(getattr(loose, field), getattr(tight, field)), field
    make("packed", to=kind, say=said.append)
    assert len(said) == 1 and packed_files() == before
    alone = open_mixture(load_stage("fusion/bl30k", data=[str(tmp_path / "packed" / before[0][0])], preset="tiny"))
    assert alone.sources[0].names == names[:1]


class Interrupted:
    """``shutil.rmtree`` that is interrupted when it comes to a video that has just been packed."""

    def __init__(self, real):
        self.real = real

    def __call__(self, path, **options):
        if path.name == "a00000":
            raise KeyboardInterrupt
        self.real(path, **options)


def test_fusion_dry_runs(fusion_set, alignment, tmp_path):
    arguments = ["pipeline", "fusion-bl30k-davis", "--preset", "tiny", "--out", str(tmp_path), "--device", "cpu"]
    arguments += ["--data", f"bl30k_fusion={fusion_set}", "--data", f"davis_fusion={fusion_set}", "--dry-run"]
    result = CliRunner().invoke(app, [*arguments, "--set", f"alignment={alignment}"])
    assert result.exit_code == 0 and result.output.count("iB a sample") == 2, repr(result.exception)
    width, height = Image.open(tmp_path / "1-fusion-davis/samples.png").size
    assert width > 5 * 128 and height == 4 * 128 + 40, (
        "enlarged; labels of rows, numbers of frames, and the legend below"
    )
    result = CliRunner().invoke(app, [*arguments, "--set", "fusion.kind=linear"])
    assert isinstance(result.exception, UserError) and "linear blending is not trained" in str(result.exception)
