"""WebDataset shards, read by the package `webdataset`."""

import json

import numpy as np
import webdataset

from bl30k_gen.dataset import masks
from tests.support.synthetic import FRAMES


def samples(path):
    return list(webdataset.WebDataset(str(path), shardshuffle=False))


def test_round_trip_through_the_package(exported, store):
    out = exported("webdataset")
    found = samples(out / "train-000000.tar") + samples(out / "val-000000.tar")
    assert [sample["__key__"] for sample in found] == store.videos
    for name, sample in zip(store.videos, found, strict=True):
        described = json.loads(sample["json"])
        assert described["metadata"] == store.metadata(name) and described["split"] == store.metadata(name)["split"]
        assert described["frames"] == described["annotated"] == store.frames(name)
        for i, frame in enumerate(described["frames"]):
            assert sample[f"{frame}.jpg"] == store.rgb_bytes(name, i)
            assert sample[f"{frame}.png"] == store.mask_bytes(name, i)
        assert len([key for key in sample if not key.startswith("__")]) == 2 * FRAMES + 1


def test_its_own_decoder_returns_images(exported, store):
    out = exported("webdataset")
    sample = next(iter(webdataset.WebDataset(str(out / "val-000000.tar"), shardshuffle=False).decode("pil")))
    assert (np.asarray(sample["00002.jpg"]) == store.read_rgb("a00002", 2)).all()
    assert sample["json"]["name"] == "a00002"
    assert (masks.read_mask(store.mask_bytes("a00002", 2)).ids == store.read_mask("a00002", 2).ids).all()


def test_shards_are_cut_at_whole_videos(exported):
    out = exported("webdataset", "shard_bytes=1")
    assert sorted(p.name for p in out.glob("*.tar")) == ["train-000000.tar", "train-000001.tar", "val-000000.tar"]
    pattern = out / "train-{000000..000001}.tar"
    assert [sample["__key__"] for sample in samples(pattern)] == ["a00000", "a00001"]
