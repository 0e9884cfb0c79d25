"""The card of a run's network: use, licence, training data, scores and configuration."""

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
"""Commands that use the networks other than propagation networks."""

PROPAGATION = "train.py segment {file} --video FRAMES --first-mask first_mask.png --out out"

LICENCE_FILES = ("CREDITS.md", "LICENSE", "LICENSE.txt", "LICENCE", "README.md", "DATASET.md")
"""Files of a dataset that state its licences; the first that exists is named."""


def card(folder: RunFolder, stage: Stage, environment: dict[str, Any], file: Path, facts: Sequence[str] = ()) -> str:
    """The card as Markdown.

    Args:
        environment: the run's ``environment.json``.
        file: of the network.
        facts: lines about the file.
    """
    state = environment["code"]
    code = state.get("commit") or f"version {state.get('version', 'unknown')}"
    code += " with changes" if state.get("changed") else ""
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
    file = next((root / name for name in LICENCE_FILES if (root / name).is_file()), None)
    licence = f"licences: {file}" if file else "its folder states no licence"
    return f"- {name}: {source['items']} items of {root}, list {source['digest'][:16]}; {licence}"


def _scores(folder: RunFolder) -> list[str]:
    records = folder.records()
    validated = [record for record in records if "J&F" in record]
    lines = []
    if validated:
        best = max(validated, key=lambda record: record["J&F"])
        score = f"validation J&F {best['J&F']:.1f} at iteration {best['iteration']}"
        lines.append(f"{score}, the best of {len(validated)}")
    held_out = next((record for record in reversed(records) if "validated" in record), None)
    if held_out is not None:
        lines.append(f"{held_out['validated']} samples held out: {_numbers(held_out)}")
    if not lines:
        lines.append("not validated: the numbers below are of samples that it was trained on")
    last: dict[str, Any] = next((record for record in reversed(records) if "loss" in record), {})
    return [*lines, f"last record of training: {_numbers(last)}"]


def _numbers(record: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value:.4g}" for key, value in record.items() if isinstance(value, float))
