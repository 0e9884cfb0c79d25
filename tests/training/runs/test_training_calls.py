"""A slice of the campaign ``benchmarks.faults.training_calls``: system calls that fail while a network learns."""

from benchmarks.faults.training_calls import faults, run


def test_a_failing_call_costs_one_line_and_no_state():
    planned = faults(3, seed=0)
    assert len({fault.call for fault in planned}) > 1
    outcomes = [run(fault) for fault in planned]
    assert all(outcome.good for outcome in outcomes), outcomes
