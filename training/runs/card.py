"""The card of a run's network: what to do with it, whose it is, what it learned from, and how good it got."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bl30k_gen.settings import flatten
from training.runs.folder import RunFolder
from training.schema.stage import Stage

USE = {
    "fusion": "train.py interact stm.pth --s2m s2m.pth --fusion {file} --video FRAMES --script S.json --out out",
    "s2m": "train.py interact stm.pth --s2m {file} --video FRAMES --script S.json --out out",
}
"""How networks are used that do not propagate by themselves."""

PROPAGATION = "train.py segment {file} --video FRAMES --first-mask first_mask.png --out out"

SAYS_LICENCES = ("CREDITS.md", "LICENSE", "LICENSE.txt", "LICENCE", "README.md", "DATASET.md")
"""What a folder of data may have that says whose they are, the best first."""


def card(folder: RunFolder, stage: Stage, environment: dict[str, Any], file: Path, facts: Sequence[str] = ()) -> str:
    """Markdown.

    Args:
        file: the network's.
        facts: lines about it.
    """
    known = environment["code"]
    code = known.get("commit", "unknown") + (" with changes" if known.get("changed") else "")
    made = [f"code: {code}; torch {environment['packages']['torch']}; {environment['device']}"]
    if start := environment.get("start"):
        made.append(f"began with {start['weights']}, sha256 {start['sha256'][:16]}")
    configuration = [f"{key}: {value}" for key, value in flatten(stage.model_dump(mode="json")).items()]
    sections = {
        "Use": ["```sh", "python " + USE.get(stage.network, PROPAGATION).format(file=file.name), "```"],
        "Licence": [
            "The code is GPL-3.0-or-later. The weights are as free as the data below let them be: see their licences,"
            " and those of the weights that training began with.",
        ],
        "Data": [_data(name, source) for name, source in environment["data"].items()],
        "Scores": [f"- {line}" for line in _scores(folder)],
        "Configuration": ["```yaml", *configuration, "```"],
    }
    lines = [f"# {stage.network}, {stage.iterations} iterations of {stage.batch} samples", ""]
    lines += [f"- {fact}" for fact in (*facts, *made)]
    for heading, content in sections.items():
        lines += ["", f"## {heading}", "", *content]
    return "\n".join([*lines, ""])


def _data(name: str, source: dict[str, Any]) -> str:
    root = Path(source["path"])
    told = next((root / each for each in SAYS_LICENCES if (root / each).is_file()), None)
    licence = f"licences: {told}" if told else "its folder states no licence"
    return f"- {name}: {source['items']} items of {root}, list {source['digest'][:16]}; {licence}"


def _scores(folder: RunFolder) -> list[str]:
    records = folder.records()
    judged = [record for record in records if "J&F" in record]
    lines = []
    if judged:
        best = max(judged, key=lambda record: record["J&F"])
        lines.append(f"validation J&F {best['J&F']:.1f} at iteration {best['iteration']}, the best of {len(judged)}")
    held_out = next((record for record in reversed(records) if "validated" in record), None)
    if held_out is not None:
        lines.append(f"{held_out['validated']} samples held out: {_numbers(held_out)}")
    if not lines:
        lines.append("not validated: the numbers below are of samples that it was trained on")
    last: dict[str, Any] = next((record for record in reversed(records) if "loss" in record), {})
    return [*lines, f"last record of training: {_numbers(last)}"]


def _numbers(record: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value:.4g}" for key, value in record.items() if isinstance(value, float))
