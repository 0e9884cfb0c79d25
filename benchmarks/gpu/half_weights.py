"""Weights in half precision, split into files that are small enough to be sent."""

import io
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from models.propagation import PropagationNetwork

FILE_BYTES, ALL_BYTES = 15_000_000, 45_000_000


def save_half(network: "PropagationNetwork", folder: Path, stem: str) -> None:
    """Write all weights and statistics in half precision, in files of at most ``FILE_BYTES``.

    Raises ValueError where they take more than ``ALL_BYTES``.
    """
    import torch

    from bl30k_gen.dataset.files import write_atomically

    half = {key: x.half() if x.is_floating_point() else x for key, x in network.state_dict().items()}
    parts: list[dict[str, Tensor]] = [{}]
    held = 0
    for key, value in half.items():
        size = value.numel() * value.element_size()
        if held + size > FILE_BYTES - 500_000 and parts[-1]:
            parts.append({})
            held = 0
        parts[-1][key] = value.cpu().contiguous()
        held += size
    written = 0
    for number, part in enumerate(parts):
        buffer = io.BytesIO()
        torch.save(part, buffer)
        written += len(buffer.getvalue())
        write_atomically(folder / f"{stem}-{number}.pt", buffer.getvalue())
    if written > ALL_BYTES:
        raise ValueError(f"the network takes {written / 1e6:.1f} MB in half precision, more than {ALL_BYTES / 1e6:g}")


def load_half(network: "PropagationNetwork", folder: Path, stem: str) -> bool:
    """Load what ``save_half`` wrote into a network; False if files are missing."""
    import torch

    found: dict[str, Tensor] = {}
    for path in sorted(folder.glob(f"{stem}-*.pt")):
        found |= torch.load(path, map_location="cpu", weights_only=True)
    if found.keys() != network.state_dict().keys():
        return False
    network.load_state_dict(found)
    return True
