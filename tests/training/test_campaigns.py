"""The campaigns with small networks, shortened; in full: ``make campaign-learning campaign-experiment``."""

import copy
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.learning import experiment, small
from benchmarks.learning import tracking as learning
from benchmarks.speed import train_step
from bl30k_gen.config import load_config
from bl30k_gen.dataset.reader import open_dataset
from tests.support.stages import network_of, order_of
from training.tasks.network import build_step

ROOT = Path(__file__).parents[2]
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def renders(make_videos, tmp_path_factory):
    root = make_videos(tmp_path_factory.mktemp("campaign") / "renders", 3)
    (root / "ImageSets/train.txt").write_text("a00000\na00001\n")
    (root / "ImageSets/val.txt").write_text("a00002\n")
    return root


def run(monkeypatch, campaign, *arguments) -> None:
    monkeypatch.setattr(sys, "argv", ["campaign", *map(str, arguments)])
    campaign.main()


def test_the_learning_campaign_ends_with_a_page_and_a_plot(renders, tmp_path, monkeypatch, capsys):
    short = ["--iterations", 1, "--seeds", 1, "--fusion-iterations", 1, "--samples", 2]
    places = [renders, "--out", tmp_path, "--results", tmp_path / "results"]
    run(monkeypatch, learning, *places, *short)
    page = (tmp_path / "results/learning.md").read_text()
    for row in ("| trained on renders |", "| control, masks shuffled |", "| first mask copied |", "| fused |"):
        assert row in page
    with Image.open(tmp_path / "results/learning.png") as image:
        assert image.size[0] > 400


def test_arms_of_the_experiment_see_equally_many_samples(renders, tmp_path, monkeypatch):
    trained, splits = {}, {}

    def train(stage, out, start=None):
        trained[out] = (stage.iterations, start, next(iter(stage.sources)))
        splits.update({name: source.split for name, source in stage.sources.items() if name == "davis"})
        return out

    monkeypatch.setattr(experiment, "train", train)
    monkeypatch.setattr(experiment, "calibrated", lambda stage, out: None)
    folds = experiment.write_folds(renders, 1)
    arms = experiment.Experiment(renders, renders, tmp_path, 30, 40, small.PRESET, (), folds)
    networks = arms.train_arms(0, "train-1")
    assert tuple(networks) == experiment.ARMS
    assert splits == {"davis": "train-1"}, "a fold's networks see its training list alone"

    def chain(out):
        iterations, start, source = trained[out]
        return (chain(start) if start else []) + [(source, iterations)]

    chains = {arm: chain(out) for arm, out in networks.items()}
    assert {sum(count for _, count in steps) for steps in chains.values()} == {70}
    assert chains["static > renders > real"] == [("fss", 30), ("bl30k", 20), ("davis", 20)]
    assert [source for source, _ in chains["static"]] == ["fss", "fss"]


def test_each_video_is_in_one_fold_and_never_in_its_training(renders, tmp_path):
    root = tmp_path / "real"
    shutil.copytree(renders, root)
    folds = experiment.write_folds(root, 3)
    store = open_dataset(root)
    held = [store.image_set(validation) for _, validation in folds]
    assert held == [["a00002"], ["a00000"], ["a00001"]]
    for (training, _), names in zip(folds, held, strict=True):
        assert sorted(store.image_set(training) + names) == store.videos


@pytest.mark.parametrize("config", sorted((ROOT / "benchmarks").rglob("*renders.yaml")), ids=lambda path: path.name)
def test_configurations_of_the_renders_are_valid(config):
    assert load_config(config).video.frames > 1


def test_the_control_has_the_same_frames_and_masks_in_other_pairs(renders, tmp_path):
    mixed = open_dataset(learning.shuffled(renders, tmp_path / "mixed", seed=0))
    store = open_dataset(renders)
    places = [(name, number) for name in mixed.videos for number in range(12)]
    assert mixed.videos == ["a00000", "a00001"]
    assert all(mixed.rgb_bytes(*place) == store.rgb_bytes(*place) for place in places)
    kept = [mixed.mask_bytes(*place) == store.mask_bytes(*place) for place in places]
    assert sum(kept) < 6
    assert sorted(mixed.mask_bytes(*p) for p in places) == sorted(store.mask_bytes(*p) for p in places)


def test_calibrated_batch_norms_know_the_samples(renders, tmp_path):
    stage = small.small_stage("stcn/bl30k", {"bl30k": renders}, 4, 0)
    network = network_of(stage, small.calibrated(stage, tmp_path / "start.pt", batches=2))
    build_step(network, stage.loss, stage.runtime, CPU)
    mixture = small.open_mixture(stage)
    images = next(small.loader(mixture, order_of(stage, mixture), 0)).to(CPU).images.flatten(0, 1)
    seen = []
    network.key_encoder.layer3[1].bn1.register_forward_hook(lambda module, given, out: seen.append(out.clone()))
    with torch.no_grad():
        network.encode_query(images)
    assert seen[0].mean().abs() < 0.2 and 0.7 < seen[0].std() < 1.4


def test_small_copies_keep_lists_and_masks(renders, tmp_path):
    store = open_dataset(small.shrink(renders, tmp_path / "small", 44))
    assert store.image_set("val") == ["a00002"]
    assert store.read_rgb("a00002", 3).shape == (44, 60, 3)
    assert set(np.unique(store.read_mask("a00002", 3).ids)) == {0, 1, 2, 3}


def test_the_plain_step_is_the_same_step():
    stage = train_step.load_stage("stcn/bl30k", ["size=64", "batch=2", "imagenet=none", "model.backbone=resnet18"])
    network = train_step.random_network(stage)
    ways = {
        "plain": train_step.plain_variant(stage, copy.deepcopy(network), CPU),
        "ours": train_step.own_variant(stage, network, CPU, "float32"),
    }
    for number in range(2):
        for way in ways.values():
            way.iterate(train_step.discs(stage, number, CPU))
    assert ways["plain"].losses == pytest.approx(ways["ours"].losses, rel=1e-3)
