"""Commands that evaluate networks: evaluate, score, ablate, study, gains."""

import json
from pathlib import Path
from typing import Annotated

import typer

from bl30k_gen.command_line import examples
from bl30k_gen.errors import UserError
from bl30k_gen.processors import usable
from training.cli.options import (
    Checkpoint,
    Device,
    Json,
    MasksMean,
    Out,
    PropagationOptions,
    S2m,
    stoppable,
    with_groups,
)

app = typer.Typer()

Protocol = Annotated[str, typer.Option("--protocol", help="davis16, davis17, youtube or all.")]
Scribbles = Annotated[Path | None, typer.Option("--scribbles", help="First scribbles; else the robot's.")]
Split = Annotated[str | None, typer.Option("--split", help="A list in ImageSets, e.g. 2017/val.")]


@app.command(
    epilog=examples(
        "python train.py evaluate out/runs/stcn-vos DAVIS --split 2017/val --out out/davis17",
        "python train.py evaluate stm.pth DAVIS --split 2017/val --interactive --s2m s2m.pth --out out/interactive",
    )
)
@with_groups
def evaluate(
    checkpoint: Checkpoint,
    dataset: Annotated[Path, typer.Argument(help="A dataset's folder.")],
    out: Out,
    protocol: Annotated[
        str | None, typer.Option("--protocol", help="davis16, davis17 (default), youtube or all.")
    ] = None,
    split: Split = None,
    interactive: Annotated[bool, typer.Option("--interactive", help="The DAVIS interactive benchmark.")] = False,
    s2m: S2m = None,
    fusion: Annotated[
        str | None, typer.Option("--fusion", help="A checkpoint, or linear (default), or none.")
    ] = None,
    scribbles: Scribbles = None,
    masks: MasksMean = None,
    device: Device = "auto",
    *,
    options: PropagationOptions,
) -> None:
    """Score a checkpoint on annotated videos, compared with copying the first mask and with the oracle."""
    from training.experiments.evaluate import evaluate_interactive, evaluate_semi_supervised

    if interactive and protocol is not None:
        raise UserError("--protocol has no effect with --interactive", "leave one of them out")
    for name, value in (("--s2m", s2m), ("--fusion", fusion), ("--scribbles", scribbles)):
        if value is not None and not interactive:
            raise UserError(f"{name} is for the interactive benchmark", "add --interactive, or leave it out")
    given = options.given()
    with stoppable():
        if interactive:
            evaluate_interactive(
                checkpoint,
                s2m,
                dataset,
                out,
                fusion or "linear",
                scribbles,
                split,
                device=device,
                masks=masks,
                **given,
            )
        else:
            workers = usable()
            evaluate_semi_supervised(
                checkpoint,
                dataset,
                out,
                protocol or "davis17",
                split,
                workers=workers,
                device=device,
                masks=masks,
                **given,
            )


@app.command(
    epilog=examples(
        "python train.py score DAVIS/Annotations/480p out/masks --out out/scores",
        "python train.py score valid/Annotations out/masks --protocol youtube --videos val.txt --out out/scores",
    )
)
def score(
    truth: Annotated[Path, typer.Argument(help="Folder with a folder of masks for each video.")],
    masks: Annotated[Path, typer.Argument(help="The same with predicted masks.")],
    out: Out,
    protocol: Protocol = "davis17",
    videos: Annotated[Path | None, typer.Option("--videos", help="A file of names; all by default.")] = None,
    meaning: MasksMean = None,
) -> None:
    """Score existing masks: J, F and J&F of a pair of folders."""
    from bl30k_gen.dataset.claim import claim, refuse_input
    from training.evaluation.report import write_report
    from training.evaluation.semi_supervised import read_list, score_baselines, score_folders

    names = read_list(videos) if videos else None
    workers = usable()
    refuse_input(out, [truth, masks])
    results = {masks.name: score_folders(truth, masks, protocol, names, workers=workers, masks=meaning)}
    results |= score_baselines(truth, protocol, names, workers=workers, masks=meaning)
    claim(out, "score", {"truth": str(truth.resolve()), "masks": str(masks.resolve())})
    print(write_report(results, out))


@app.command(
    epilog=examples(
        "python train.py ablate DAVIS --split 2017/val --recipe sweep-top-k --checkpoint stm=stm.pth --out out/k",
        "python train.py ablate DAVIS --split 2017/val --recipe mine.yaml --checkpoint stm=stm.pth --out out/tables",
    )
)
@with_groups
def ablate(
    dataset: Annotated[Path, typer.Argument(help="A dataset's folder.")],
    recipe: Annotated[str, typer.Option("--recipe", help="A table from `list`, e.g. mivos-table5, or a YAML file.")],
    out: Out,
    checkpoints: Annotated[
        list[str] | None,
        typer.Option("--checkpoint", metavar="NAME=PATH", help="A checkpoint for the rows; repeatable."),
    ] = None,
    split: Split = None,
    protocol: Protocol = "davis17",
    scribbles: Scribbles = None,
    masks: MasksMean = None,
    device: Device = "auto",
    *,
    options: PropagationOptions,
) -> None:
    """Make a paper's table or figure with your checkpoints. The same command continues after the finished rows."""
    from training.experiments.context import EvaluationContext
    from training.experiments.tables import ablate

    given = {}
    for pair in checkpoints or []:
        name, equals, path = pair.partition("=")
        if not (name and equals and path):
            raise UserError(f"--checkpoint {pair} is no NAME=PATH", "name it as the table does")
        given[name] = Path(path)
    workers = usable()
    with stoppable():
        ablate(
            recipe,
            EvaluationContext(dataset, given, split, protocol, scribbles, options.given(), device, workers, masks),
            out,
        )


@app.command(
    epilog=examples(
        "python train.py study logs --out out/study",
        "python train.py study logs --horizon 120 --out out/study",
    )
)
def study(
    logs: Annotated[Path, typer.Argument(help="Folder of session logs.")],
    out: Out,
    horizon: Annotated[
        float | None, typer.Option("--horizon", help="Seconds of user time; by default the longest session's.")
    ] = None,
) -> None:
    """Compute user time, AUC and the gain per round from session logs, and draw a figure."""
    from bl30k_gen.dataset.claim import claim
    from training.evaluation.plots import plot_study
    from training.evaluation.study import increment_table, read_study, summary_table

    read = read_study(logs, horizon)
    claim(out, "study", {"logs": str(logs.resolve())}, [logs])
    for name, table in (("summary", summary_table(read)), ("rounds", increment_table(read))):
        table.write(out / name)
        print(table.text())
    plot_study(read, out / "study.png")
    print(f"{out}: summary and rounds as .txt, .csv and .tex, study.png")


@app.command(
    epilog=examples(
        "python train.py gains /shared/experiment",
        "python train.py gains /shared/experiment --gpus 8 --json",
    )
)
def gains(
    out: Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder of slurm/experiment.sbatch.")],
    gpus: Annotated[int, typer.Option("--gpus", min=1, help="GPUs that the runs are trained on.")] = 1,
    as_json: Json = False,
) -> None:
    """Print cost and scores of the experiment on rendered data; exit code 1 if a published gain is missed."""
    from training.experiments.gains import cost_table, scores, verdict_table, verdicts

    if not out.is_dir():
        raise UserError(f"{out} is no folder", "name the --out of slurm/experiment.sbatch")
    costs, found = cost_table(out, gpus), scores(out)
    if as_json:
        anchors = [
            {"asked": anchor.words, "low": anchor.low, "high": anchor.high, "found": value, "reached": reached}
            for anchor, value, reached in verdicts(found)
        ]
        rows = [dict(zip(costs.header, row, strict=True)) for row in costs.rows]
        print(json.dumps({"costs": rows, "scores": found, "anchors": anchors}))
    else:
        print(f"{costs.text()}\n{verdict_table(found).text()}", end="")
    if any(reached is False for _, _, reached in verdicts(found)):
        raise typer.Exit(1)
