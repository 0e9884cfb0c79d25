"""The two container recipes are one. ``slurm/try_recipe.sh`` carries it out, which takes minutes and a network."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def docker_steps():
    text = (ROOT / "slurm/Dockerfile").read_text().replace("\\\n", " ")
    runs = [line.removeprefix("RUN ") for line in text.splitlines() if line.startswith("RUN ")]
    return [" ".join(step.split()) for run in runs for step in run.split("&&")]


def apptainer_steps():
    section = re.search(r"^%post\n(.*?)^%", (ROOT / "slurm/bl30k.def").read_text(), re.MULTILINE | re.DOTALL)[1]
    return [" ".join(line.split()) for line in section.splitlines() if line.strip()]


def test_both_recipes_have_the_same_steps():
    clean = "rm -rf /var/lib/apt/lists/*"  # Docker cleans every layer, Apptainer has only one
    assert docker_steps().count(clean) == 2
    ours = [step for step in docker_steps() if step != clean]
    assert [step for step in apptainer_steps() if step != "cd /opt/bl30k"] == [*ours, clean]


def test_both_recipes_begin_with_the_same_system_and_end_with_the_same_command():
    docker, apptainer = ((ROOT / "slurm" / name).read_text() for name in ("Dockerfile", "bl30k.def"))
    system = re.search(r"^FROM (\S+)", docker, re.MULTILINE)[1]
    assert f"From: {system}" in apptainer
    command = re.search(r'^ENTRYPOINT \["(.*)", "(.*)"\]', docker, re.MULTILINE)
    assert f'exec {command[1]} {command[2]} "$@"' in apptainer
