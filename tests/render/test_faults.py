"""A short fault campaign (``benchmarks/faults/builds.py``); in full: ``make campaign-faults``."""

import pytest

from benchmarks.faults.builds import Campaign

TINIER = ["--set", "video={frames: 4, width: 64, height: 48}"]


@pytest.mark.xdist_group("slurm")  # the two heaviest packages one after the other
@pytest.mark.parametrize(("store", "events"), [("folder", 2), ("tar", 1)])
def test_random_faults_change_nothing(tiny, tmp_path, store, events):
    campaign = Campaign(events, seed=3, videos=3, recipe=[*tiny, *TINIER], folder=tmp_path, store=store)
    result = campaign.run(print)
    assert len(result.events) == events and result.rounds >= 1
    assert result.faults == []
