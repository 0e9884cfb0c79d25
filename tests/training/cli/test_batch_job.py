"""``slurm/train.sbatch``, with stand-ins for Slurm and for torchrun."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture
def cluster(tmp_path):
    """Start the job as Slurm would; the arguments of Slurm's commands are in ``calls``."""
    programs = {
        "srun": 'echo "srun $@" >> calls; while [ "${1#--}" != "$1" ]; do shift; done; exec "$@"',
        "scancel": 'echo "scancel $@" >> calls; kill -TERM $(cat begun)',
        "scontrol": 'echo "scontrol $@" >> calls; [ "$1" = show ] && printf "node7\\nnode8\\n" || true',
        "python": 'echo "python $@" >> calls; trap "exit 1" TERM; echo $$ > begun; sleep ${SLEEP:-0} & wait $!',
    }
    for name, body in programs.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{body}\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "slurm").symlink_to(ROOT / "slurm")

    def start(**variables) -> subprocess.Popen:
        slurm = {"SLURM_JOB_ID": "41", "SLURM_JOB_NODELIST": "node[7-8]", "SLURM_JOB_NUM_NODES": "2"}
        environment = os.environ | slurm | {"SLURM_CPUS_PER_TASK": "16", "PYTHON": "python"} | variables
        environment["PATH"] = f"{tmp_path}:{environment['PATH']}"
        command = ["bash", "slurm/train.sbatch", "run", "stcn/bl30k", "--data", "a b"]
        return subprocess.Popen(command, cwd=tmp_path, env=environment)

    return start, tmp_path


def test_the_batch_script_is_valid():
    subprocess.run(["bash", "-n", str(ROOT / "slurm/train.sbatch")], check=True)


def test_each_node_runs_torchrun_with_the_same_rendezvous(cluster):
    start, folder = cluster
    assert start().wait(60) == 0
    show, srun, python = (folder / "calls").read_text().splitlines()
    assert show == "scontrol show hostnames node[7-8]"
    assert srun.startswith("srun --cpus-per-task=16 --kill-on-bad-exit=1 python -m torch.distributed.run")
    for flag in ("nnodes=2", "nproc-per-node=gpu", "rdzv-id=41", "rdzv-backend=c10d", "rdzv-endpoint=node7:20041"):
        assert f" --{flag} " in python
    assert python.endswith(" train.py run stcn/bl30k --data a b")


@pytest.mark.parametrize("nodes", [1, 2])
@pytest.mark.parametrize(("number", "comes_back"), [(signal.SIGUSR1, True), (signal.SIGTERM, False)])
def test_time_that_runs_out_brings_the_job_back(cluster, nodes, number, comes_back):
    """After SIGTERM (preemption or scancel) the job is not requeued: Slurm decides."""
    start, folder = cluster
    job = start(SLEEP="60", SLURM_JOB_NUM_NODES=str(nodes))
    deadline = time.monotonic() + 60
    while not (folder / "begun").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    job.send_signal(number)
    assert job.wait(60) == 1
    calls = (folder / "calls").read_text()
    assert ("scontrol requeue 41" in calls) == comes_back
    assert ("scancel --quiet --signal=TERM 41" in calls) == ("srun" in calls) == (nodes > 1)
