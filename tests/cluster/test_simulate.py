"""A slice of the simulated build (``benchmarks/faults/simulate.py``); all of it is ``make campaign-simulate``."""

import pytest

from benchmarks.faults.simulate import EVENTS, Plan, simulate
from bl30k_gen.cluster import worklist
from tests.support.virtual_cluster import Faults

OFTEN = Faults(preempted=0.2, node_dies=0.1, killed=0.1, node_hangs=0.1, crash=0.1, slow_nodes=0.2)
FEW = Plan(videos=80, nodes=5, videos_per_task=5, time="00:25:00", seed=4, faults=OFTEN)


@pytest.mark.parametrize("store", ["folder", "tar"])
def test_every_video_is_published_once_despite_cluster_faults(store, tmp_path):
    result = simulate(Plan(**vars(FEW) | {"store": store}), tmp_path)
    assert result.faults == []
    assert set(result.events) == set(EVENTS) and result.failed, "everything that can happen has happened"
    assert result.missing > result.failed and 1 <= result.resubmissions <= 5
    assert 0 < result.wasted < 0.2 and result.ideal_hours < result.hours < 3 * result.ideal_hours


def test_the_simulation_notices_a_lost_video(tmp_path, monkeypatch):
    """The last video of each slice is never rendered."""
    whole = worklist.take_shard
    monkeypatch.setattr(worklist, "take_shard", lambda *shard: whole(*shard)[:-1])
    result = simulate(Plan(videos=6, nodes=1, videos_per_task=3, faults=Faults(0, 0, 0, 0, 0, 0)), tmp_path)
    assert result.faults == ["a00005 is lost"]
