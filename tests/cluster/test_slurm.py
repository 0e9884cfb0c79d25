"""Job arrays: their scripts, and their runs on a real Slurm of one node."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from benchmarks.faults import thousand
from bl30k_gen.cluster import slurm
from bl30k_gen.cluster.slurm import Submissions, divide, load_settings, script
from bl30k_gen.cluster.worklist import take_shard
from bl30k_gen.dataset.layout import Layout, unpublish
from bl30k_gen.errors import UserError
from bl30k_gen.render import child
from bl30k_gen.render.child import allotted_threads

ROOT = Path(__file__).resolve().parents[2]


def without_queue(monkeypatch, answers):
    """Let ``answers`` speak for Slurm's commands."""
    monkeypatch.setattr(slurm, "_ask", lambda command, *arguments, **options: answers[command])


@pytest.mark.parametrize("videos, per_task, largest", [(30000, 20, 1001), (7, 3, 2), (1, 50, 1001), (1001, 1, 500)])
def test_arrays_are_complete_disjoint_even_and_not_too_large(videos, per_task, largest):
    arrays = divide(list(range(videos)), per_task, largest)
    tasks = [take_shard(array.indices, part, array.tasks) for array in arrays for part in range(array.tasks)]
    assert sorted(index for task in tasks for index in task) == list(range(videos))
    assert all(array.tasks <= largest for array in arrays)
    assert all(0 < len(task) <= per_task for task in tasks)
    assert max(map(len, tasks)) - min(map(len, tasks)) <= 1 or len(arrays) > 1


def test_the_script_has_the_settings(tmp_path):
    settings = load_settings(slurm.SETTINGS / "gpu.yaml", ["at_once=7", "scratch=$TMPDIR", "directives=[--qos=low]"])
    text = script(settings, divide(list(range(100)), 10, 1001)[0], tmp_path / "d", tmp_path / "f", 0, "auto")
    lines = text.splitlines()
    assert lines[0] == "#!/bin/bash"
    expected = ["array=0-9%7", "gres=gpu:1", "cpus-per-task=8", "requeue", "signal=B:USR1@300", "qos=low"]
    assert {f"#SBATCH --{line}" for line in expected} <= set(lines)
    assert not any("partition" in line or "account" in line for line in lines)
    assert lines[-1].startswith("exec bash ") and lines[-1].endswith('--device auto --scratch "$TMPDIR"')
    subprocess.run(["bash", "-n"], input=text, text=True, check=True)


def test_tasks_without_a_gpu_request_none(tmp_path):
    array = divide([0], 1, 1001)[0]
    assert "--device cpu" in script(load_settings(None, []), array, tmp_path, tmp_path, 0, "auto")
    assert "--device cuda" in script(load_settings(None, []), array, tmp_path, tmp_path, 0, "cuda")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("partitions=gpu", "unknown key partitions: did you mean partition?"),
        ("cpus=0", "cpus = 0"),
        ("time=soon", "time = 'soon'"),
        ('partition="gpu\\n#SBATCH --uid=0"', "partition"),
        ('directives=["--qos=a\\n--x"]', "directives.0"),
        ("scratch=$(reboot)", "scratch"),
    ],
)
def test_bad_settings_are_named(override, message):
    with pytest.raises(UserError, match="slurm/cpu.yaml") as error:
        load_settings(None, [override])
    assert message in str(error.value)


def test_threads_come_from_the_allotment(monkeypatch):
    monkeypatch.delenv("SLURM_CPUS_PER_TASK", raising=False)
    monkeypatch.setattr(child, "usable", lambda: 5)
    assert [allotted_threads(workers) for workers in (1, 2, 8)] == [5, 2, 1], "what the process may use, shared"
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "9")
    assert [allotted_threads(workers) for workers in (1, 2, 20)] == [9, 4, 1]


def test_a_dry_run_needs_no_slurm_and_writes_nothing(generate, tiny, tmp_path, monkeypatch):
    monkeypatch.delenv("SLURM_CONF", raising=False)
    shown = generate("submit", *tiny, "--out", tmp_path / "d", "--count", 50, "--dry-run").stdout
    assert "#SBATCH --array=0-2\n" in shown
    assert not (tmp_path / "d").exists()


def test_videos_of_waiting_tasks_count_as_in_progress(monkeypatch, tmp_path):
    answers = {"scontrol": "MaxArraySize = 2\n", "sbatch": "17\n", "squeue": "17 1 PENDING\n99 0 RUNNING\n"}
    without_queue(monkeypatch, answers)
    submissions = Submissions(tmp_path)
    assert submissions.submit(load_settings(None, ["videos_per_task=3"]), list(range(6)), "cpu") == ["17"]
    assert submissions.wanted() == list(range(6))
    assert submissions.under_way() == {1, 3, 5} and submissions.tasks() == {"PENDING": 1}
    answers["sbatch"] = "18;cluster\n"
    submissions.submit(load_settings(None, ["videos_per_task=1"]), [4, 8, 9], "cpu")
    assert submissions.wanted() == [0, 1, 2, 3, 4, 5, 8, 9]
    assert sorted(path.name for path in (tmp_path / "Slurm/002").glob("*.job")) == ["array-0.job", "array-1.job"]


# On a real Slurm.

SLOW = ["--set", "video={frames: 8, width: 96, height: 64}", "--set", "render.samples=256"]
REAL = ["--slurm-set", "cpus=1", "--slurm-set", "memory=1G", "--slurm-set", "stop_before=10"]


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    """A Slurm cluster of this machine, of which an array may have two tasks."""
    for program in ("slurmctld", "slurmd", "munged"):
        if shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None:
            pytest.skip(f"{program} is not installed: apt-get install slurm-wlm munge")
    if os.geteuid() != 0:
        pytest.skip("a Slurm of one's own needs root")
    folder = tmp_path_factory.mktemp("slurm")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"FOLDER": folder, "MAX_ARRAY_SIZE": 2, "CONTROL_PORT": 26817, "NODE_PORT": 26818}.items():
            patch.setenv(name, str(value))
        patch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
        subprocess.run([ROOT / "slurm/one_node_cluster.sh", "up"], check=True, timeout=120)
        try:
            yield
        finally:
            subprocess.run([ROOT / "slurm/one_node_cluster.sh", "down"], check=True, timeout=120)


def ask(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 150.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            log = Path(os.environ["SLURM_CONF"]).with_name("slurmctld.log").read_text()
            pytest.fail(f"{what}: not within {seconds:.0f} s\n{ask('sinfo')}{ask('squeue')}{log[-3000:]}")
        time.sleep(0.02)


def entries(out: Path, video: str) -> list[dict]:
    log = Layout(out).log(video)
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def frames(out: Path, video: str) -> list[int]:
    return [entry["frame"] for entry in entries(out, video) if entry["event"] == "frame"]


@contextmanager
def standing_still() -> Iterator[None]:
    """Blender stands still in this cluster's tasks until one of them is told to end: none is done before that."""
    stopped = [Path(f"/proc/{process}") for process in renderers()]
    for folder in stopped:
        os.kill(int(folder.name), signal.SIGSTOP)
    try:
        yield
        wait_for(lambda: any(map(told_to_end, stopped)), "the signal to end")
    finally:
        for folder in stopped:
            with suppress(ProcessLookupError):
                os.kill(int(folder.name), signal.SIGCONT)


def renderers() -> list[int]:
    mine, found = f"SLURM_CONF={os.environ['SLURM_CONF']}".encode(), []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            command, environment = (folder / "cmdline").read_bytes(), (folder / "environ").read_bytes()
            if b"bl30k_gen.blender" in command and b"SLURM_JOB_ID=" in environment and mine in environment:
                found.append(int(folder.name))
    return found


def told_to_end(folder: Path) -> bool:
    """Whether a stopped process has a SIGTERM waiting, or has been woken or ended by another hand."""
    try:
        status = dict(line.split(":\t", 1) for line in (folder / "status").read_text().splitlines() if ":\t" in line)
    except OSError:
        return True
    waiting = int(status["ShdPnd"], 16) | int(status["SigPnd"], 16)
    return not status["State"].startswith("T") or bool(waiting >> (signal.SIGTERM - 1) & 1)


@pytest.mark.xdist_group("slurm")
def test_preempted_and_timed_out_tasks_continue(cluster, tiny, generate, tmp_path):
    out = tmp_path / "built"
    submitted = generate("submit", *tiny, *SLOW, "--out", out, "--count", 3, "--videos-per-task", 1, *REAL).stdout
    arrays = [path.read_text().strip() for path in sorted((out / "Slurm/001").glob("*.job"))]
    assert len(arrays) == 2 and all(job in submitted for job in arrays)

    wait_for(lambda: frames(out, "a00000") != [], "the first frame")
    with standing_still():
        ask("scancel", "--signal=USR1", "--batch", f"{arrays[0]}_0")  # what comes before the time limit
    wait_for(lambda: "stopped" in {entry["event"] for entry in entries(out, "a00000")}, "the end of its time")
    wait_for(lambda: any(0 < len(frames(out, name)) < 7 for name in ("a00001", "a00002")), "another task")
    with standing_still():
        whole_node = ["--mem=100M", f"--cpus-per-task={os.cpu_count()}"]
        ask("sbatch", "--partition=urgent", *whole_node, "--output=/dev/null", "--wrap=sleep 1")
    wait_for(lambda: ask("squeue", "--noheader") == "", "an empty queue")

    status = json.loads(generate("status", out, "--json").stdout)
    assert (status["wanted"], status["done"], status["running"], status["failed"]) == (3, 3, [], {})
    for name in ("a00000", "a00001", "a00002"):
        assert sorted(frames(out, name)) == list(range(8)), "no frame is lost, and none is rendered twice"
    events = {name: {entry["event"] for entry in entries(out, name)} for name in ("a00000", "a00001", "a00002")}
    stops = [name for name, seen in events.items() if "stopped" in seen]
    assert "a00000" in stops and {"a00001", "a00002"} & set(stops), "one ran out of time, another was preempted"
    logs = "".join(path.read_text() for path in (out / "Slurm/001").glob("*.log"))
    assert "device cpu (CPU), 1 thread\n" in logs and "first frame: " in logs
    generate("verify", out, "--deep")

    unpublish(Layout(out), "a00001")
    plain = {"OUT": str(out), "COUNT": "3", "CONFIG": str(out / "config.yaml"), "PYTHON": sys.executable}
    flags = ["--array=0-1", "--cpus-per-task=1", "--mem=1G", "--output=/dev/null", "--wait"]
    job = ["sbatch", *flags, "slurm/render.sbatch"]
    subprocess.run(job, env=os.environ | plain, cwd=ROOT, check=True, timeout=150)
    assert Layout(out).is_published("a00001")

    unpublish(Layout(out), "a00001")
    assert "1 missing videos submitted" in generate("resubmit", out, "--slurm-set", "directives=[--hold]").stdout
    assert (out / "Slurm/002/array-0.indices").read_text() == "1\n"
    assert "nothing to submit" in generate("resubmit", out).stdout, "it waits in the queue already"
    ask("scancel", "--name=bl30k")


@pytest.mark.xdist_group("slurm")
def test_a_disturbed_build_is_complete(cluster, tmp_path, monkeypatch):
    """A slice of the campaign with a thousand videos: a task is killed, and its videos are submitted again."""
    monkeypatch.setattr(thousand, "PAUSE", 0.5)
    done = thousand.build(tmp_path / "d", thousand.make_assets(tmp_path / "assets", 0), 3, 2, events=1, seed=0)
    assert done.disturbed == {"kill": 1} and sum(done.resubmitted) in (1, 2)
    assert (done.status["done"], done.status["failed"]) == (3, {}) and done.verified.endswith("all is well")


def test_a_name_that_would_run_a_command_is_refused(tmp_path):
    """A line feed in --out wrote commands into the script."""
    with pytest.raises(UserError, match="without control characters"):
        Submissions(tmp_path / "x\n#SBATCH --uid=0")


def test_paths_in_a_script_are_quoted_and_memory_may_be_left_out(tmp_path):
    settings = load_settings(None, ["memory=null"])
    (text,) = Submissions(tmp_path / "my data 100%").preview(settings, [0, 1], "cpu")
    lines = text.splitlines()
    assert f"#SBATCH --output='{tmp_path}/my data 100%%/Slurm/001/%A_%a.log'" in lines
    assert not any("--mem" in line for line in lines)
    assert f"'{tmp_path}/my data 100%'" in lines[-1]


def test_resubmit_knows_the_videos_that_status_knows(tmp_path, generate):
    """Those that `render --count` was asked for, although `submit` never was."""
    generate("plan", "--config", "render_configs/demo.yaml", "--count", 1, "--out", tmp_path / "data")
    (tmp_path / "data/Logs/runs").mkdir(parents=True)
    line = {"event": "asked", "time": 1.0, "host": "node", "pid": 1, "count": 3}
    (tmp_path / "data/Logs/runs/0.jsonl").write_text(json.dumps(line) + "\n")
    assert "0 of 3 videos done" in generate("status", tmp_path / "data").stdout
    assert "#SBATCH --array=0-" in generate("resubmit", tmp_path / "data", "--dry-run").stdout


def test_a_dry_run_of_resubmit_needs_no_slurm(tmp_path, generate):
    generate("plan", "--config", "render_configs/demo.yaml", "--count", 1, "--out", tmp_path / "data")
    done = generate("resubmit", tmp_path / "data", "--count", 3, "--dry-run")
    assert "#SBATCH --array=0-" in done.stdout
    if shutil.which("squeue") is None:
        assert "what Slurm has in its queue is not left out" in done.stderr
        assert "squeue is not installed" in generate("resubmit", tmp_path / "data", "--count", 3, code=2).stderr
