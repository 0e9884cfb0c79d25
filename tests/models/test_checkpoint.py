import os

import pytest
import torch

from models import checkpoint

PUBLISHED = [
    ("mivos_prop", "stm", {"multi_object": True}),
    ("maskprop_so", "stm", {"multi_object": False}),
    ("stcn_eval", "stcn", {"multi_object": True}),
    ("stcn_so", "stcn", {"multi_object": False}),
    ("rde_eval", "rde", {"update": "sam"}),
    ("rde_so", "rde", {"update": "none", "multi_object": False}),
    ("mivos_fusion", "fusion", {}),
    ("s2m", "s2m", {}),
]


def random_weights(golden, keys):
    """A published state dict with different numbers in every entry."""
    generator = torch.Generator().manual_seed(0)
    return {
        key: torch.tensor(7) if key.endswith("tracked") else torch.randn(shape, generator=generator)
        for key, shape in golden("aggregate").shapes(keys)
    }


@pytest.mark.parametrize(("keys", "name", "config"), PUBLISHED)
def test_published_weights_are_read_and_written_back_exactly(golden, keys, name, config):
    weights = random_weights(golden, keys)
    # RDE's first stage has STCN's keys, so it must be named.
    network = checkpoint.from_published(weights, "rde" if keys == "rde_so" else None)
    assert checkpoint.name_of(network) == name
    assert {key: getattr(network.config, key) for key in config} == config
    again = checkpoint.to_published(network)
    assert again.keys() == weights.keys()
    assert all(torch.equal(again[key], weights[key]) for key in weights)


def test_published_files_are_read_and_written_back(golden, tmp_path):
    weights = random_weights(golden, "mivos_fusion")
    torch.save(weights, tmp_path / "fusion.pth")
    checkpoint.export(checkpoint.load(tmp_path / "fusion.pth"), tmp_path / "again.pth")
    again = torch.load(tmp_path / "again.pth", weights_only=True)
    assert again.keys() == weights.keys() and all(torch.equal(again[key], weights[key]) for key in weights)


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("stm", {}),
        ("stcn", {"multi_object": False}),
        ("rde", {"blocks": 1, "ema_keep": 0.9}),
        ("rde", {"update": "ema"}),
    ],
)
def test_own_files_hold_weights_and_configuration(small, tmp_path, name, config):
    network = small(name, **config)
    checkpoint.save(network, tmp_path / "own.pth")
    assert [file.name for file in tmp_path.iterdir()] == ["own.pth"]
    again = checkpoint.load(tmp_path / "own.pth")
    assert type(again) is type(network) and again.config == network.config
    state = again.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())


@pytest.mark.parametrize(
    ("name", "config"),
    [("fusion", {"difference_aware": False, "dim": 8}), ("s2m", {"dim": 16}), ("clicks", {"dim": 16})],
)
def test_own_files_of_the_other_networks(tmp_path, name, config):
    network = checkpoint.build(name, config)
    checkpoint.save(network, tmp_path / "own.pth")
    assert checkpoint.load(tmp_path / "own.pth", name).config == network.config
    with pytest.raises(ValueError, match=f"holds the network {name}, not stm"):
        checkpoint.load(tmp_path / "own.pth", "stm")


def test_single_object_weights_become_a_network_of_several(small, tmp_path):
    first = small("stcn", multi_object=False)
    checkpoint.save(first, tmp_path / "first.pth")
    wide = checkpoint.load(tmp_path / "first.pth", multi_object=True)
    old, new = first.value_encoder.resnet.conv1.weight, wide.value_encoder.resnet.conv1.weight
    assert new.shape[1] == 5 and torch.equal(new[:, :4], old) and new[:, 4].abs().sum() > 0
    with pytest.raises(ValueError, match=r"wrong size value_encoder.resnet.conv1.weight \(64, 5, 7, 7\)"):
        checkpoint.fill(first, wide.state_dict())


def test_s2m_starts_from_a_network_of_images(tmp_path):
    network = checkpoint.build("s2m", {"dim": 16})
    before = {key: value.clone() for key, value in network.state_dict().items()}
    given = {key: value.clone() for key, value in checkpoint.to_published(network).items()}
    given["backbone.conv1.weight"] = torch.randn(64, 3, 7, 7)
    given["classifier.classifier.3.weight"] = torch.randn(21, 16, 1, 1)
    given["classifier.classifier.3.bias"] = torch.randn(21)
    given["classifier.aspp.project.0.weight"] += 1
    torch.save({"model_state": given}, tmp_path / "voc.pth")
    checkpoint.start_s2m(network, tmp_path / "voc.pth")
    assert torch.equal(network.backbone.conv1.weight[:, :3], given["backbone.conv1.weight"])
    assert torch.equal(network.aspp.project[0].weight, given["classifier.aspp.project.0.weight"])
    assert torch.equal(network.head[3].weight, before["head.3.weight"])
    torch.save({"a": torch.zeros(1)}, tmp_path / "voc.pth")
    with pytest.raises(ValueError, match="voc.pth: not a DeepLabV3"):
        checkpoint.start_s2m(network, tmp_path / "voc.pth")


def test_rde_continues_from_its_first_stage(small):
    first, second = small("rde", update="none", multi_object=False), small("rde")
    sam = {key: value.clone() for key, value in second.state_dict().items() if key.startswith("sam_")}
    with pytest.raises(ValueError, match="missing sam_key"):
        checkpoint.fill(second, first.state_dict())
    checkpoint.fill(second, first.state_dict(), fresh=("sam_",))
    state = second.state_dict()
    assert all(torch.equal(state[key], value) for key, value in sam.items())
    assert torch.equal(state["decoder.pred.weight"], first.decoder.pred.weight)


def test_wrong_files_are_refused_in_one_line(small, tmp_path):
    network = small("stm")
    checkpoint.save(network, tmp_path / "own.pth")
    content = torch.load(tmp_path / "own.pth", weights_only=True)

    def refuse(change, match):
        torch.save(change, tmp_path / "bad.pth")
        with pytest.raises(ValueError, match=match) as error:
            checkpoint.load(tmp_path / "bad.pth")
        assert str(error.value).startswith(str(tmp_path / "bad.pth")) and "\n" not in str(error.value)

    weights = dict(content["weights"])
    del weights["decoder.pred.bias"]
    weights["decoder.extra"] = torch.zeros(1)
    refuse(content | {"weights": weights}, "missing decoder.pred.bias; unknown decoder.extra")
    refuse(content | {"version": 99}, "version 99")
    refuse(content | {"network": "xmem"}, "'xmem' is unknown")
    refuse(content | {"config": {"depth": 3}}, "no configuration key depth")
    refuse({key: content[key] for key in ("format", "version")}, "lacks network, config, weights")
    refuse({"a": torch.zeros(1), "b": torch.zeros(1)}, "first keys are a, b")
    refuse([1, 2], "holds a list")
    (tmp_path / "bad.pth").write_bytes(b"junk")
    with pytest.raises(ValueError, match="not a readable weights file"):
        checkpoint.load(tmp_path / "bad.pth")
    with pytest.raises(ValueError, match="none.pth: no such file"):
        checkpoint.load(tmp_path / "none.pth")
    with pytest.raises(ValueError, match="no published form"):
        checkpoint.export(checkpoint.build("clicks", {"dim": 16}), tmp_path / "clicks.pth")
    assert not (tmp_path / "clicks.pth").exists()


def test_nothing_in_a_file_is_executed(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    torch.save({"weights": Trap()}, tmp_path / "trap.pth")
    with pytest.raises(ValueError, match="trap.pth: not a readable weights file"):
        checkpoint.load(tmp_path / "trap.pth")
    assert not (tmp_path / "sprung").exists()


def test_a_full_disk_is_an_oserror_and_leaves_nothing(tmp_path):
    (tmp_path / f".network.pt.{os.getpid()}.part").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        checkpoint.save(checkpoint.build("fusion"), tmp_path / "network.pt")
    assert not list(tmp_path.iterdir())


def test_impossible_sizes_are_a_valueerror():
    with pytest.raises(ValueError, match="network fusion cannot be built with .*-4"):
        checkpoint.build("fusion", {"dim": -4})
