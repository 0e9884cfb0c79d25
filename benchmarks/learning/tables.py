"""All tables and figures of the papers on real video, with networks small enough for one core; resumable.

    python generate.py render --config benchmarks/learning/renders.yaml --out out/renders --count 80
    python -m benchmarks.learning.tables out/renders DAVIS --out out/tables [--results docs/results/tables.md]

DAVIS is a dataset with the lists ``train`` and ``val``. Small networks are trained by the recipes that the tables
name, with crops of 96 pixels and every stage shortened by the same factor, on the rendered videos and on the training
videos of DAVIS, whose frames also serve as still images; then S2M and fusion. The click network has no stage: it has
random weights and is only timed. Then ``train.py ablate`` makes all its tables on the validation videos, segmented at
112 pixels and scored at their own size.
"""

from pathlib import Path

import torch

from benchmarks.learning.small import calibrated, shrink, small_stage, train, write_page
from benchmarks.page import load, parser_of
from bl30k_gen.dataset.files import write_atomically
from bl30k_gen.dataset.reader import open_dataset
from bl30k_gen.errors import run_entry_point
from models import checkpoint
from training.experiments.context import EvaluationContext
from training.experiments.tables import ablate
from training.pipeline.fusion_data import make_fusion_data
from training.schema.lookup import TABLES
from training.schema.recipe import StageStep, changes_of, load_recipe
from training.schema.stage import Stage, load_stage
from training.schema.table import load_table

SHORT_SIDE, CROP = 112, 96
RECIPES = {
    "stm": "stm-static-vos",
    "stm-equal": "stm-static-vos-equal",
    "stm-bl30k": "stm-static-bl30k-vos",
    "stcn": "stcn-static-bl30k-vos",
    "rde": "rde-static-bl30k-vos",
}
"""The recipe of each checkpoint of the tables."""
PUBLISHED = 300_000
"""Iterations of STM on real video alone; ``--iterations`` replaces them, and others in proportion."""
SEPARATION, RANGE = 20, 20
"""Of the fusion data: frames between references, and frames that they are propagated."""


def part_stage(name: str, data: Path, iterations: int, *overrides: str) -> Stage:
    """A stage of S2M or fusion with the first of its sources only."""
    first, *others = load_stage(name).sources
    schedule = [
        f"iterations={iterations}",
        f"loss.warm_up=[{iterations // 3}, {max(1, 5 * iterations // 6)}]",
        f"optimiser.decay_at=[{max(1, 5 * iterations // 6)}]",
        f"size={CROP}",
        "runtime.save_every=100",
    ]
    left_out = [f"data.{source}.weight=0" for source in others]
    return load_stage(name, [*schedule, *left_out, *overrides], [f"{first}={data}"], preset="tiny")


def train_propagation(renders: Path, real: Path, out: Path, iterations: int) -> dict[str, Path]:
    """Train the networks of ``RECIPES``; recipes with the same first stage share it."""
    networks: dict[str, Path] = {}
    for name, recipe_name in RECIPES.items():
        recipe, network = load_recipe(recipe_name), None
        for step in recipe.steps:
            assert isinstance(step, StageStep)  # in these recipes
            changes = changes_of(recipe, step, step.stage.partition("/")[0])
            published = load_stage(step.stage, changes=changes).iterations
            folder = out / (step.stage.replace("/", "-") if network is None else f"{name}-{Path(step.stage).name}")
            source = next(iter(load_stage(step.stage).sources))
            data = {source: renders if source == "bl30k" else real}
            stage = small_stage(step.stage, data, max(2, round(published * iterations / PUBLISHED)), seed=0)
            network = train(stage, folder, network or calibrated(stage, out / f"{stage.network}-start.pt"))
            networks[name] = network
    return networks


def train_fusion(network: Path, real: Path, out: Path, iterations: int, difference_aware: bool = True) -> Path:
    """Train fusion on propagations of a network through the training videos."""
    data, videos = out / f"fusion-data-{network.name}", open_dataset(real).image_set("2017/train")
    make_fusion_data(network, real, data, videos, SEPARATION, RANGE, device="cpu", say=lambda text: None)
    input_ = f"alignment={network}" if difference_aware else "model.difference_aware=false"
    stage = part_stage("fusion/davis", data, iterations, input_, "model.dim=16", "optimiser.learning_rate=2e-3")
    return train(stage, out / (f"fusion-{network.name}" + ("" if difference_aware else "-agnostic")))


def train_all(renders: Path, real: Path, out: Path, iterations: int) -> dict[str, Path]:
    """Train a checkpoint for each name in the tables."""
    networks = train_propagation(renders, real, out, iterations)
    clicks = out / "clicks.pt"
    if not clicks.exists():
        torch.manual_seed(0)
        checkpoint.save(checkpoint.build("clicks"), clicks)
    return networks | {
        "s2m": train(part_stage("s2m/static", real, iterations), out / "s2m"),
        "clicks": clicks,
        "fusion": train_fusion(networks["stm-bl30k"], real, out, iterations),
        "fusion-agnostic": train_fusion(networks["stm-bl30k"], real, out, iterations, difference_aware=False),
        "fusion-stcn": train_fusion(networks["stcn"], real, out, iterations),
    }


def make_table(name: str, davis: Path, networks: dict[str, Path], out: Path, page: Path) -> list[str]:
    """Make one table by ``ablate``; returns its section of the page, and writes its image beside the page."""
    recipe = load_table(name)
    given = {need: networks[need] for need in recipe.checkpoints}
    context = EvaluationContext(davis, given, "2017/val", options={"short_side": SHORT_SIDE}, device="cpu")
    table = ablate(name, context, out)
    image = page.with_suffix("") / f"{name}.png"
    write_atomically(image, (out / f"{name}.png").read_bytes())
    return [
        f"## {recipe.about}",
        "",
        f"`--recipe {name}`",
        "",
        "```",
        table.text().rstrip(),
        "```",
        "",
        f"![{name}]({image.relative_to(page.parent)})",
        "",
    ]


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("renders", type=Path, help="rendered videos, with a list train")
    parser.add_argument("davis", type=Path, help="real videos, with lists train and val")
    parser.add_argument("--out", type=Path, default=Path("out/tables"), help="for runs and tables")
    parser.add_argument("--iterations", type=int, default=200, help="of STM on real video; others in proportion")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    before, page = load(), arguments.results or arguments.out / "tables.md"
    real = shrink(arguments.davis, arguments.out / "real", SHORT_SIDE)
    networks = train_all(arguments.renders, real, arguments.out / "runs", arguments.iterations)
    videos = ", ".join(open_dataset(arguments.davis).image_set("2017/val"))
    lines = [
        "**The networks are tiny**: ResNet-18 with narrow keys, from random weights, crops of "
        f"{CROP} pixels, 4 a batch, every stage of the published recipes cut to {arguments.iterations}/"
        f"{PUBLISHED:,} of its iterations; S2M and fusion have {arguments.iterations}. The tables show that the "
        "commands work; they say next to nothing about the methods, and the published numbers that some "
        "tables quote are no comparison. The click network has its published size and random weights, and is only "
        "timed.",
        "",
        f"Evaluated on {videos}, unseen by all networks, at {SHORT_SIDE} pixels, by `train.py ablate DAVIS --split "
        f"2017/val --short-side {SHORT_SIDE} --recipe NAME`, whose tables and images these are. Times were measured "
        "on this machine, which was busy with other work.",
        "",
    ]
    for name in TABLES.names():
        lines += make_table(name, arguments.davis, networks, arguments.out / "tables", page)
    write_page(page, "The papers' tables and figures, from tiny networks", lines, before)


if __name__ == "__main__":
    run_entry_point(main)
