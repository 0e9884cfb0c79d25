import pytest

from bl30k_gen.cluster.worklist import indices_from, parse_shard, read_indices, take_shard
from bl30k_gen.errors import UserError


@pytest.mark.parametrize(("videos", "parts"), [(10, 3), (7, 7), (3, 5), (30_000, 111)])
def test_shards_are_even_disjoint_and_complete(videos, parts):
    indices = indices_from(videos, None, None)
    slices = [take_shard(indices, part, parts) for part in range(parts)]
    assert sorted(i for piece in slices for i in piece) == indices
    assert max(map(len, slices)) - min(map(len, slices)) <= 1


def test_indices_come_from_a_file(tmp_path):
    file = tmp_path / "missing.txt"
    file.write_text("12\n3\n\n12\n")
    assert read_indices(file) == [3, 12]
    file.write_text("12\nx3\n")
    with pytest.raises(UserError, match="line 2"):
        read_indices(file)


def test_indices_need_exactly_one_valid_option(tmp_path):
    with pytest.raises(UserError, match="nothing is asked for"):
        indices_from(None, None, None)
    with pytest.raises(UserError, match="exclude each other"):
        indices_from(3, 1, None)
    with pytest.raises(UserError, match="--index -1"):
        indices_from(None, -1, None)


@pytest.mark.parametrize("shard", ["3/3", "-1/3", "1", "a/b", "1/0"])
def test_impossible_shards_are_refused(shard):
    with pytest.raises(UserError, match="--shard"):
        parse_shard(shard)


def test_a_job_array_gives_its_tasks_their_shards(monkeypatch):
    for name, value in {"ID": 14, "COUNT": 5, "MIN": 10, "STEP": 2}.items():
        monkeypatch.setenv(f"SLURM_ARRAY_TASK_{name}", str(value))
    assert parse_shard("slurm") == (2, 5)
    monkeypatch.delenv("SLURM_ARRAY_TASK_ID")
    with pytest.raises(UserError, match="SLURM_ARRAY_TASK_ID is not set"):
        parse_shard("slurm")
