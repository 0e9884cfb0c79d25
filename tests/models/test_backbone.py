import pytest
import torch
import torchvision

from models import checkpoint
from models.backbone import CHANNELS, ResNetEncoder, load_imagenet, widen_stem


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
@torch.no_grad()
def test_features_equal_torchvisions(name):
    torch.manual_seed(0)
    resnet = torchvision.models.get_model(name, weights=None).eval()
    encoder = ResNetEncoder(name).eval()
    encoder.load_state_dict({k: v for k, v in resnet.state_dict().items() if not k.startswith(("layer4", "fc"))})
    x = torch.randn(1, 3, 64, 96)
    f16, f8, f4 = encoder(x)
    expected = resnet.layer1(resnet.maxpool(resnet.relu(resnet.bn1(resnet.conv1(x)))))
    torch.testing.assert_close(f4, expected)
    torch.testing.assert_close(f8, resnet.layer2(expected))
    torch.testing.assert_close(f16, resnet.layer3(resnet.layer2(expected)))
    assert f16.shape[-2:] == (4, 6)


def test_imagenet_from_a_local_file_or_folder(tmp_path):
    torch.manual_seed(0)
    resnet = torchvision.models.resnet18(weights=None)
    file = tmp_path / "resnet18-f37072fd.pth"
    torch.save(resnet.state_dict(), file)
    for source in (file, tmp_path):
        encoder = ResNetEncoder("resnet18", in_channels=5, bias=True)
        load_imagenet(encoder, "resnet18", source)
        torch.testing.assert_close(encoder.conv1.weight[:, :3], resnet.conv1.weight)
        assert encoder.conv1.weight[:, 3:].abs().sum() > 0
        assert all((m.bias == 0).all() for m in encoder.modules() if isinstance(m, torch.nn.Conv2d))
        torch.testing.assert_close(encoder.layer3[1].conv2.weight, resnet.layer3[1].conv2.weight)
    with pytest.raises(ValueError, match="not torchvision's resnet50"):
        load_imagenet(ResNetEncoder("resnet50"), "resnet50", file)


def test_missing_weights_name_the_file_and_the_place(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"resnet50-0676ba61.pth there, or train with --no-pretrained"):
        load_imagenet(ResNetEncoder("resnet50"), "resnet50", tmp_path / "none.pth")

    def offline(*args, **kwargs):
        raise OSError("no route to host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(ValueError, match=f"no route.*put resnet18-f37072fd.pth at {tmp_path}.*--no-pretrained"):
        load_imagenet(ResNetEncoder("resnet18"), "resnet18", "torchvision")
    broken = tmp_path / "broken.pth"
    broken.write_bytes(b"not a checkpoint")
    with pytest.raises(ValueError, match="broken.pth: not a readable weights file"):
        load_imagenet(ResNetEncoder("resnet18"), "resnet18", broken)


def test_widened_stem_keeps_the_old_channels_and_adds_orthogonal_ones():
    weight = torch.randn(64, 4, 7, 7)
    wide = widen_stem(weight, 5, generator=torch.Generator().manual_seed(0))
    assert torch.equal(wide[:, :4], weight)
    added = wide[:, 4:].flatten(1)
    torch.testing.assert_close(added.T @ added, torch.eye(49), rtol=1e-4, atol=1e-5)
    assert torch.equal(widen_stem(weight, 4), weight)
    with pytest.raises(ValueError, match="cannot become"):
        widen_stem(weight, 3)


def test_unknown_backbone_is_refused():
    with pytest.raises(ValueError, match="choose one of resnet18_half, resnet18, resnet50"):
        ResNetEncoder("resnet101")
    with pytest.raises(ValueError, match="choose one of resnet18_half, resnet18, resnet50"):
        checkpoint.build("stcn", {"backbone": "resnet101"})


@pytest.mark.parametrize("backbone", CHANNELS)
def test_encoders_have_the_documented_channels(backbone):
    features = ResNetEncoder(backbone)(torch.zeros(1, 3, 32, 32))
    assert tuple(x.shape[1] for x in features) == CHANNELS[backbone]
    assert tuple(x.shape[-1] for x in features) == (2, 4, 8)


@pytest.mark.parametrize(("name", "widths"), [("stcn", {"memory_backbone": "resnet18_half"}), ("s2m", {})])
def test_group_norms_do_not_depend_on_other_images(name, widths):
    network = checkpoint.build(name, {"backbone": "resnet18_half", "norm": "group", **widths})
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in network.modules())
    assert not list(network.buffers())
    with pytest.raises(ValueError, match="norm 'layer' is unknown: choose batch or group"):
        checkpoint.build(name, {"norm": "layer"})


def test_the_half_backbone_has_no_imagenet_weights():
    with pytest.raises(ValueError, match="resnet18_half has no ImageNet weights"):
        load_imagenet(ResNetEncoder("resnet18_half"), "resnet18_half", "torchvision")
