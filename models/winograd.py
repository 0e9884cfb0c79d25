"""3x3 convolutions by Winograd's minimal filtering: a quarter of the multiplications, for inference on CPUs.

An output tile of 4x4 pixels needs an input tile d of 6x6. With the matrices below, for each pair of channels,

    Y = A^T [(G g G^T) * (B^T d B)] A                        (Lavin and Gray 2016, equation 8)

where g is the 3x3 kernel and * multiplies element by element: 36 multiplications for 16 pixels instead of 144. With
the sum over input channels before the last transform, * becomes 36 matrix products, one for each element of the tile.

The matrices come from polynomial interpolation (Toom and Cook) at five points and infinity. With the usual points
0, +-1, +-2, rounding errors in float32 are about four times those of the direct convolution of the same layout; with
pairs of reciprocals, 0, +-sqrt(2), +-sqrt(1/2), about twice: 1e-6 of the output's root mean square.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from numpy.polynomial import polynomial
from torch import Tensor, nn

TILE = 4  # side of an output tile
POINTS = (0.0, math.sqrt(2), -math.sqrt(2), math.sqrt(0.5), -math.sqrt(0.5))
SIDE = len(POINTS) + 1  # of an input tile
MIN_CHANNELS = 128  # below, the transforms cost what the products save
TILES_AT_ONCE = 200  # enough for fast matrix products, few enough for the processor's cache


def _matrices() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """B^T (6, 6), G (6, 3), A^T (4, 6), float64."""
    data, kernel, output = np.zeros((SIDE, SIDE)), np.zeros((SIDE, 3)), np.zeros((TILE, SIDE))
    for i, point in enumerate(POINTS):
        others = POINTS[:i] + POINTS[i + 1 :]
        data[i, :-1] = polynomial.polyfromroots(others)
        kernel[i] = point ** np.arange(3) / math.prod(point - other for other in others)
        output[:, i] = point ** np.arange(TILE)
    data[-1] = polynomial.polyfromroots(POINTS)
    kernel[-1, -1] = output[-1, -1] = 1.0  # infinity: the highest coefficient
    return data, kernel, output


DATA, KERNEL, OUTPUT = _matrices()
DATA_2D, OUTPUT_2D = (torch.from_numpy(np.kron(matrix, matrix)).float() for matrix in (DATA, OUTPUT))


class WinogradConv2d(nn.Conv2d):
    """A convolution with the weights of another one, which it replaces; ``fits`` tells whether it can.

    On a CPU in float32, and without gradients, it uses Winograd's algorithm, otherwise the usual one. The transformed
    kernels take four times the memory of the weights. Not for training: they are not updated when the weights change.
    """

    transformed: Tensor

    def __init__(self, conv: nn.Conv2d):
        super().__init__(conv.in_channels, conv.out_channels, 3, padding=1, bias=conv.bias is not None, device="meta")
        self.weight, self.bias = conv.weight, conv.bias
        kernel = torch.from_numpy(KERNEL)
        transformed = torch.einsum("ik,ockl,jl->ijco", kernel, conv.weight.detach().double(), kernel)
        self.register_buffer("transformed", transformed.flatten(0, 1).float().contiguous(), persistent=False)

    @staticmethod
    def fits(module: nn.Module) -> bool:
        """Whether a module is a plain 3x3 convolution in float32 on a CPU, and wide enough to become faster."""
        return (
            type(module) is nn.Conv2d
            and (module.kernel_size, module.stride, module.dilation) == ((3, 3), (1, 1), (1, 1))
            and (module.padding, module.padding_mode, module.groups) == ((1, 1), "zeros", 1)
            and min(module.in_channels, module.out_channels) >= MIN_CHANNELS
            and (module.weight.device.type, module.weight.dtype) == ("cpu", torch.float32)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.on_channels(x, slice(None), self.bias)

    def on_channels(self, x: Tensor, channels: slice, bias: Tensor | None) -> Tensor:
        """The contribution of some input channels to the output; x (B, C, H, W) holds only these."""
        inference = not (x.requires_grad and torch.is_grad_enabled())  # a click's refinement needs them
        if inference and x.device.type == "cpu" and x.dtype == torch.float32 and not torch.is_autocast_enabled("cpu"):
            return winograd(x, self.transformed[:, channels], bias)
        return F.conv2d(x, self.weight[:, channels], bias, padding=1)


def winograd(x: Tensor, transformed: Tensor, bias: Tensor | None) -> Tensor:
    """x (B, C, H, W), with a margin of zeros, convolved with transformed kernels (36, C, D).

    Returns (B, D, H, W), channels last. A few rows of tiles at a time, so that memory does not grow with the image.
    """
    batch, channels, height, width = x.shape
    down, across, wide = -(-height // TILE), -(-width // TILE), transformed.shape[2]
    margins = (0, 0, 1, 1 + TILE * across - width, 1, 1 + TILE * down - height)
    padded = F.pad(x.permute(0, 2, 3, 1).contiguous(), margins)
    out = x.new_empty(batch, TILE * down, TILE * across, wide)
    rows = max(1, TILES_AT_ONCE // across)
    for image, result in zip(padded, out, strict=True):
        line, pixel, _ = image.stride()
        for top in range(0, down, rows):
            size = min(rows, down - top)
            first = image[TILE * top :]
            overlapping = first.as_strided(
                (SIDE, SIDE, size, across, channels), (line, pixel, TILE * line, TILE * pixel, 1)
            )
            data = DATA_2D @ overlapping.reshape(SIDE**2, -1)
            products = torch.bmm(data.view(SIDE**2, size * across, channels), transformed)
            tiles = (OUTPUT_2D @ products.view(SIDE**2, -1)).view(TILE, TILE, size, across, wide)
            strip = result[TILE * top : TILE * (top + size)].view(size, TILE, across, TILE, wide)
            torch.add(tiles.permute(2, 0, 3, 1, 4), 0.0 if bias is None else bias, out=strip)
    return out[:, :height, :width].permute(0, 3, 1, 2)
