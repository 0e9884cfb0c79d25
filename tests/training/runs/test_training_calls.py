"""Some faults of the campaign ``benchmarks.faults.training_calls``: system calls that fail in training."""

from benchmarks.faults.training_calls import draw_faults, run


def test_a_failing_call_gives_one_line_and_loses_no_state():
    planned = draw_faults(3, seed=0)
    assert len({fault.call for fault in planned}) > 1
    outcomes = [run(fault) for fault in planned]
    assert all(outcome.passed for outcome in outcomes), outcomes
