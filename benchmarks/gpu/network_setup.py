"""What the measurements of ``benchmarks.gpu.networks`` share: sizes, configurations, exact float32."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from training.schema.stage import Stage


@dataclass(frozen=True)
class NetworkSizes:
    """Sizes of what is measured; the defaults are those of the published work.

    frame: (height, width) of propagation. memory: frames in memory. seconds: time for each row of frames; 0 for one
    block. fit_crop, fit_steps: of the training before outputs are compared. loader_seconds: time for each loader row.
    model: settings of the networks, as ``key=value``.
    """

    networks: tuple[str, ...] = ("stcn", "rde", "stm")
    frame: tuple[int, int] = (480, 864)
    memory: tuple[int, ...] = (5, 20, 50)
    objects: tuple[int, ...] = (1, 3)
    seconds: float = 0.7
    crop: int = 384
    batch: int = 8
    warm_up: int = 2
    steps: int = 8
    fit_crop: int = 160
    fit_steps: int = 60
    loader_seconds: float = 8.0
    compile_backend: str = "inductor"
    model: tuple[str, ...] = ()

    def memory_sizes(self, network: str) -> tuple[int, ...]:
        """Frames in memory to measure: RDE's memory is constant, so one size is enough."""
        return self.memory[:1] if network == "rde" else self.memory


DRY_NETWORKS = NetworkSizes(
    frame=(64, 96),
    memory=(2,),
    seconds=0.0,
    crop=64,
    batch=2,
    warm_up=1,
    steps=1,
    fit_crop=64,
    fit_steps=1,
    loader_seconds=0.0,
    compile_backend="eager",
    model=("backbone=resnet18", "memory_backbone=resnet18", "key_dim=16", "value_dim=32", "decoder_dim=32"),
)


@contextmanager
def exact(on: bool) -> Iterator[None]:
    """Float32 convolutions and products without TF32; if ``on`` is false, PyTorch's defaults."""
    import torch

    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = (False, False) if on else (True, False)
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


def model_config(sizes: NetworkSizes) -> dict[str, Any]:
    """Arguments of the networks."""
    pairs = (item.split("=") for item in sizes.model)
    return {key: int(value) if value.isdigit() else value for key, value in pairs}


def stage_of(network: str, sizes: NetworkSizes, settings: list[str], data: list[str] | None = None) -> "Stage":
    """The published stage of a network, with settings and data sources as on the command line."""
    from training.schema.stage import load_stage

    model = [f"model.{item}" for item in sizes.model]
    return load_stage(f"{network}/bl30k", ["imagenet=none", *model, *settings], data or [])


def release_memory(device: str) -> None:
    """Free what deleted networks held, so that it does not count for the next measurement."""
    import gc

    import torch

    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()
