"""Exports a run's network as one small file, with a card that says how it was made."""

from pathlib import Path
from typing import Literal

from bl30k_gen.dataset.files import clear_disk_errors, sha256, write_atomically
from bl30k_gen.errors import UserError
from bl30k_gen.text import byte_size
from models import checkpoint
from training.runs.card import card
from training.runs.folder import RunFolder
from training.schema.stage import Stage

Which = Literal["best", "last"]
Form = Literal["ours", "published"]


def export(run: Path, out: Path, which: Which | None = None, form: Form = "ours", half: bool = False) -> str:
    """Write the network to ``out`` and its card beside it (``.md``).

    Args:
        run: the folder of a run, finished or not.
        which: "best" by validation J&F, or "last"; the best where the run has one, if None.
        form: "published" is the state dict that the paper's code reads.
        half: weights in 16 bits, half the size; they are read back as 32 bits.

    Returns: a line that says what was written.

    Raises:
        UserError: the folder holds no run, or no network of that kind.
    """
    folder = RunFolder(run)
    stage, environment = folder.stage(), folder.read_environment()
    beside = out.with_suffix(".md")
    if beside == out or {out, beside} & set(vars(folder).values()):
        raise UserError(
            f"{out} is the place of {'its card' if beside == out else 'a file of the run'}", "name another"
        )
    which = which or ("best" if folder.best.exists() else "last")
    network, origin = _network(folder, stage, which)
    if half:
        network.half()
    try:
        with clear_disk_errors(out):
            out.parent.mkdir(parents=True, exist_ok=True)
            (checkpoint.save if form == "ours" else checkpoint.export)(network, out)
    except ValueError as error:
        raise UserError(str(error), "export it with --form ours") from None
    size = byte_size(out.stat().st_size)
    facts = [f"weights: {origin}, {size}, sha256 {sha256(out)}", f"form: {form}{', 16 bits' if half else ''}"]
    write_atomically(beside, card(folder, stage, environment, out, facts))
    return f"{out} ({size}): {origin}"


def _network(folder: RunFolder, stage: Stage, which: Which) -> tuple[checkpoint.Network, str]:
    """The network, and a description of its place in the run."""
    if which == "best":
        if not folder.best.exists():
            remedy = "export the last one, or train with --set validation_videos.path=DATASET"
            raise UserError(f"{folder.root} was not validated", remedy)
        best = max((r for r in folder.records() if "J&F" in r), key=lambda r: r["J&F"], default=None)
        origin = (
            f"iteration {best['iteration']}, validation J&F {best['J&F']:.1f}" if best else "not in the run's log"
        )
        return checkpoint.load(folder.best), origin
    if folder.network.exists():
        return checkpoint.load(folder.network), f"iteration {stage.iterations}, the last"
    state = folder.latest(stage.iterations)
    if state is None:
        raise UserError(f"{folder.root} has no network yet", "train it to its first saved state")
    from training.tasks.network import build_network

    network = build_network(stage.network, stage.model, objects=stage.objects)
    network.load_state_dict(state["network"])
    return network, f"iteration {state['iteration']} of {stage.iterations}"
