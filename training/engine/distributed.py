"""One or several training processes: the rank of this one, and values that all share."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from bl30k_gen.errors import UserError


@dataclass(frozen=True)
class Processes:
    """Process ``rank`` of ``world``, and its device. A single process needs no ``torchrun``."""

    rank: int
    world: int
    device: torch.device

    @property
    def leads(self) -> bool:
        """Whether this process writes files and prints messages."""
        return self.rank == 0

    def __str__(self) -> str:
        threads = torch.get_num_threads()
        said = f" with {threads} thread{'s' * (threads > 1)} each" if self.device.type == "cpu" else ""
        return f"{self.world} x {self.device}{said}"

    def mean(self, values: Tensor) -> Tensor:
        """The mean of a tensor over all processes."""
        if self.world > 1:
            dist.all_reduce(values)
        return values / self.world

    def any(self, flag: bool) -> bool:
        """Whether the flag is true in any process."""
        if self.world == 1:
            return flag
        return self.mean(torch.tensor(float(flag), device=self.device)).item() > 0

    def join(self, texts: list[str]) -> list[str]:
        """The texts of all processes without duplicates."""
        if self.world == 1:
            return texts
        lists: list[list[str]] = [[]] * self.world
        dist.all_gather_object(lists, texts)
        return list(dict.fromkeys(text for one in lists for text in one))

    def wait(self) -> None:
        if self.world > 1:
            dist.barrier()


@contextlib.contextmanager
def processes(device: str = "auto") -> Iterator[Processes]:
    """Join the process group if ``torchrun`` has started this process, and leave it at the end.

    Args:
        device: auto, cpu or cuda; auto takes the GPU if there is one.

    Raises:
        UserError: the device is unknown, CUDA is not available, or there are more processes than GPUs.
    """
    rank, world, local = (
        int(os.environ.get(name, d)) for name, d in [("RANK", 0), ("WORLD_SIZE", 1), ("LOCAL_RANK", 0)]
    )
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: PyTorch finds no GPU", "check the driver, or train with --device cpu")
    if device not in ("auto", "cpu", "cuda"):
        raise UserError(f"--device {device} is unknown", "choose auto, cpu or cuda")
    on_gpu = device != "cpu" and torch.cuda.is_available()
    chosen = torch.device("cuda", local) if on_gpu else torch.device("cpu")
    if on_gpu:
        if local >= torch.cuda.device_count():
            raise UserError(
                f"process {local} of this machine has no GPU: there are {torch.cuda.device_count()}",
                "start one process for each: torchrun --nproc-per-node gpu",
            )
        torch.cuda.set_device(chosen)
    if world == 1:
        yield Processes(0, 1, chosen)
        return
    dist.init_process_group("nccl" if on_gpu else "gloo")
    try:
        yield Processes(rank, world, chosen)
    finally:
        dist.destroy_process_group()
