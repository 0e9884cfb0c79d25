"""Winograd's algorithm equals the direct convolution, and is used only where it applies."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from models.backbone import prepare_for_inference
from models.propagation import convolve
from models.winograd import WinogradConv2d


def conv(inputs: int = 128, outputs: int = 144, **options) -> nn.Conv2d:
    torch.manual_seed(0)
    return nn.Conv2d(inputs, outputs, **{"kernel_size": 3, "padding": 1, **options}).requires_grad_(False)


@pytest.mark.parametrize("size", [(1, 1), (4, 4), (30, 54), (17, 23)])
@pytest.mark.parametrize("bias", [True, False])
def test_the_direct_convolution_within_float32(size, bias):
    direct = conv(bias=bias)
    x = torch.randn(2, 128, *size).relu()
    true = F.conv2d(
        x.double(), direct.weight.double(), None if direct.bias is None else direct.bias.double(), padding=1
    )
    found = WinogradConv2d(direct)(x)
    assert found.shape == true.shape
    assert (found - true).abs().max() < 1e-5
    error = (found - true).square().mean().sqrt() / true.square().mean().sqrt()
    assert error < 1.3e-6, "the usual points, 0, 1, -1, 2 and -2, make it twice as large"


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_any_layout_of_the_input(layout):
    direct, x = conv(), torch.randn(1, 128, 12, 20)
    torch.testing.assert_close(
        WinogradConv2d(direct)(x.contiguous(memory_format=layout)), direct(x), rtol=0, atol=2e-5
    )


def test_shared_channels_are_computed_once_and_added():
    direct, x, shared = conv(160), torch.randn(3, 128, 8, 12), torch.randn(1, 32, 8, 12)
    torch.testing.assert_close(
        convolve(WinogradConv2d(direct), x, shared), convolve(direct, x, shared), rtol=0, atol=2e-5
    )


def test_other_precisions_use_the_direct_convolution():
    direct, x = conv(), torch.randn(1, 128, 8, 12)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(WinogradConv2d(direct)(x), direct(x))


def test_gradients_of_the_input_are_those_of_the_direct_convolution():
    direct, x = conv(), torch.randn(1, 128, 8, 12, requires_grad=True)
    gradients = [torch.autograd.grad(one(x).square().sum(), x)[0] for one in (direct, WinogradConv2d(direct))]
    assert torch.equal(*gradients)
    with torch.no_grad():
        torch.testing.assert_close(WinogradConv2d(direct)(x), direct(x), rtol=0, atol=2e-5)


def test_only_suitable_convolutions_are_replaced():
    others = {
        "narrow": conv(64),
        "one_by_one": conv(kernel_size=1, padding=0),
        "strided": conv(stride=2),
        "dilated": conv(dilation=2, padding=2),
        "unpadded": conv(padding=0),
        "grouped": conv(128, 128, groups=2),
        "reflected": conv(padding_mode="reflect"),
        "float64": conv().double(),
        "other_device": conv(device="meta"),
    }
    network = prepare_for_inference(nn.ModuleDict(others | {"fits": conv()}))
    assert [name for name, module in network.items() if isinstance(module, WinogradConv2d)] == ["fits"]
    assert set(network.state_dict()) == {f"{name}.{key}" for name in network for key in ("weight", "bias")}
