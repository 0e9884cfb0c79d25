"""Training states: damage is noticed, and the run continues from the last valid one."""

import pytest
import torch

from bl30k_gen.errors import UserError
from training.runs.folder import RunFolder
from training.runs.state import read_state, write_state


def a_state(iteration: int, weight: float = 1.0) -> dict:
    return {"iteration": iteration, "network": {"w": torch.full((40,), weight), "n": torch.tensor(3)}, "best": {}}


def test_written_scores_read_back(tmp_path):
    write_state(a_state(3), tmp_path / "s.pt")
    again = read_state(tmp_path / "s.pt")
    assert again["iteration"] == 3 and torch.equal(again["network"]["w"], torch.ones(40))


def test_a_flipped_bit_in_the_weights_is_noticed(tmp_path):
    write_state(a_state(3), tmp_path / "s.pt")
    data = bytearray((tmp_path / "s.pt").read_bytes())
    where = data.index(torch.ones(40).numpy().tobytes())
    data[where + 41] ^= 1
    (tmp_path / "s.pt").write_bytes(data)
    with pytest.raises(UserError, match=r"s\.pt (was changed or damaged|is no readable)"):
        read_state(tmp_path / "s.pt")


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (a_state(-3), "is of iteration -3"),
        (a_state("3"), "is of iteration 3"),
        (a_state(3, float("nan")), "weights that are no numbers"),
        (a_state(3, float("inf")), "weights that are no numbers"),
        ({"iteration": 3}, "is of iteration 3"),
    ],
)
def test_impossible_values_are_refused(tmp_path, state, said):
    write_state(state, tmp_path / "s.pt")
    with pytest.raises(UserError, match=said):
        read_state(tmp_path / "s.pt")


def test_the_run_continues_from_the_last_valid_state(tmp_path, caplog):
    run = RunFolder(tmp_path)
    assert run.latest(10) is None
    for iteration in (2, 4, 6):
        run.save(a_state(iteration), keep=3)
    newest = run.states()[-1]
    newest.write_bytes(newest.read_bytes()[:-200])
    write_state(a_state(5, float("nan")), run.checkpoints / "000000005.pt")
    write_state(a_state(1_000_000_000), run.checkpoints / "1000000000.pt")
    assert run.latest(10)["iteration"] == 4
    assert caplog.text.count("the run continues from iteration 4") == 3 and "000000006.pt" in caplog.text
    run.quarantine_after(4)
    assert [path.name for path in run.states()] == ["000000002.pt", "000000004.pt"]
    for path in run.states():
        path.write_bytes(b"")
    with pytest.raises(UserError, match="no sound state is left"):
        run.latest(10)


def test_states_are_on_the_disk_before_their_name_is(tmp_path, monkeypatch):
    import os

    done = []
    for call in ("fsync", "replace"):
        original = getattr(os, call)
        monkeypatch.setattr(os, call, lambda *a, call=call, original=original: done.append(call) or original(*a))
    RunFolder(tmp_path).save(a_state(1), keep=1)
    assert done[:2] == ["fsync", "replace"]


def test_a_bad_line_in_the_log_is_reported_and_skipped(tmp_path, caplog):
    lines = [
        '{"iteration": 1, "loss": NaN}',
        '{"iteration": 2, "lo',
        "[1]",
        '{"a": 1}',
        '{"iteration": "x"}',
        "[" * 9999,
    ]
    (tmp_path / "log.jsonl").write_text("\n".join(lines))
    assert [record["iteration"] for record in RunFolder(tmp_path).records()] == [1]
    assert "5 lines are no records" in caplog.text
