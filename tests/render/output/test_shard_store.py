"""Videos in shards: none is lost or doubled, however a worker ends; without Blender, on synthetic frames."""

import errno
import os
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest

from benchmarks.faults.corruption import cut_off_shard
from bl30k_gen.cluster.prune import prune
from bl30k_gen.cluster.status import status
from bl30k_gen.dataset import pack
from bl30k_gen.dataset.layout import Layout, ShardLayout, list_visible, write_image_sets
from bl30k_gen.dataset.reader import open_dataset
from bl30k_gen.dataset.shards import index_path, index_shard
from bl30k_gen.dataset.verify import verify
from bl30k_gen.errors import DiskFull, FatalError, UserError
from bl30k_gen.library.catalogue.catalogue import open_catalogue
from bl30k_gen.render import process
from bl30k_gen.render.dataset import open_for_writing
from bl30k_gen.render.output.lease import LeaseLost, Leases
from bl30k_gen.render.output.shard_recovery import remove_videos
from bl30k_gen.render.output.shard_store import ShardStore
from tests.support.operations import count
from tests.support.synthetic import make_dataset, make_sharded, stage, synthetic_config

ROOT = Path(__file__).resolve().parents[3]
NAMES = ["a00000", "a00001", "a00002"]
CALLS = ("rename", "replace", "symlink", "mkdir", "fsync", "pwrite", "open", "rmdir", "unlink")


def config_of(kind):
    return synthetic_config(f"runtime.store={kind}", "runtime.lease_timeout=0.5")


@pytest.fixture(scope="session")
def expected(tmp_path_factory):
    """The same three videos in a folder: ``{path: bytes}``."""
    root = make_dataset(tmp_path_factory.mktemp("folder"), config_of("folder")).root
    return videos_of(root)


def videos_of(root):
    store = open_dataset(root)
    return {path: store.tree.read(path) for name in store.videos for path in store.members(name)}


def shards_of(root):
    return sorted(path.name for path in (root / "Shards").iterdir() if path.suffix in (".tar", ".h5"))


def a_store(root, kind="tar", names=NAMES, scratch=None):
    return ShardStore(Layout(root, process.new_name()), kind, 0.5, scratch, names)


def make_one(store, name, kind="tar"):
    claim = store.acquire(name)
    assert claim is not None and not store.complete(name)
    store.publish(claim, stage(store.frames, config_of(kind), int(name[1:])))
    return claim


@pytest.mark.parametrize("kind", ["tar", "hdf5"])
def test_a_run_leaves_one_shard_that_all_commands_read(tmp_path, expected, kind):
    root = make_sharded(tmp_path / "d", config_of(kind), NAMES).root
    assert shards_of(root) == [{"tar": "a00000.tar", "hdf5": "a00000.h5"}[kind]]
    assert videos_of(root) == expected
    assert verify(root, deep=True).ok
    assert status(root, count=3).done == 3
    shard = root / "Shards" / shards_of(root)[0]
    saved = index_path(shard).read_bytes()
    assert index_shard(shard, trust_saved=False).keys() == index_shard(shard).keys()
    assert index_path(shard).read_bytes() == saved, "the index that the writer saves is what a scan finds"
    assert open_dataset(shard).videos == NAMES
    assert not any((root / ".staging").iterdir()) and not any((root / "Shards/.staging").iterdir())
    pack.pack(open_dataset(root), tmp_path / "packed", "tar")
    pack.pack(open_dataset(make_dataset(tmp_path / "f", config_of(kind)).root), tmp_path / "packed2", "tar")
    assert (tmp_path / "packed/SHA256SUMS").read_text() == (tmp_path / "packed2/SHA256SUMS").read_text()
    make_sharded(root, config_of(kind), NAMES)
    assert len(shards_of(root)) == 1, "there was nothing to do"


def test_a_claim_that_is_released_while_it_is_read_is_free(tmp_path, monkeypatch):
    """Its link is gone between two looks at it: that ended the run."""
    root = make_dataset(tmp_path, config_of("tar"), 0).root
    with a_store(root) as first, a_store(root, names=["a00001"]) as second:
        claim = first.acquire("a00000")

        def released(holder):
            first.release(claim)
            raise FileNotFoundError(holder)

        monkeypatch.setattr(ShardLayout, "claiming_shard", staticmethod(released))
        assert second.acquire("a00000") is not None


def die_at(number, root):
    """Kill this process before its ``number``-th change of the dataset."""
    seen = [0]

    def counting(original):
        def call(*args, **kwargs):
            where = os.readlink(f"/proc/self/fd/{args[0]}") if isinstance(args[0], int) else str(args)
            seen[0] += str(root) in where
            if seen[0] == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*args, **kwargs)

        return call

    for name in CALLS:
        setattr(os, name, counting(getattr(os, name)))


@pytest.mark.parametrize("kind", ["tar", "hdf5"])
def test_after_a_kill_at_any_step_no_video_is_lost_or_doubled(tmp_path, expected, kind):
    """A worker is killed at one change, its successor at a later one, and the third completes the work."""
    config, step, died = config_of(kind), 1, True
    while died:
        root = tmp_path / str(step)
        died = False
        for number in (step, 3 * step):
            child = os.fork()
            if child == 0:
                die_at(number, root)
                make_sharded(root, config, NAMES)
                os._exit(0)
            code = os.waitpid(child, 0)[1]
            died = died or code == signal.SIGKILL
            if (root / "Shards").is_dir():
                seen = videos_of(root)  # never an incomplete video, never two
                assert seen.items() <= expected.items()
                assert len(seen) % 17 == 0
                assert {path.split("/")[1].removesuffix(".json") for path in seen} == set(Layout(root).published())
        make_sharded(root, config, NAMES)
        assert videos_of(root) == expected
        assert not list_visible(Layout(root).staging_root) and not list_visible(Layout(root).shards.staging_root)
        shutil.rmtree(root)
        step += {"tar": 3, "hdf5": 7}[kind]


def test_a_partial_shard_can_be_read(tmp_path, expected):
    with a_store(tmp_path) as store:
        store.release(make_one(store, "a00000"))
        claim = make_one(store, "a00001")
        assert videos_of(tmp_path).keys() == {path for path in expected if "a00002" not in path}
        assert verify(tmp_path, deep=True, names=NAMES[:2]).ok
        assert shards_of(tmp_path) == []
        store.release(claim)


def test_an_incomplete_last_line_is_ignored(tmp_path):
    with a_store(tmp_path) as store:
        store.release(make_one(store, "a00000"))
        claim = store.acquire("a00001")
        metadata = stage(store.frames, config_of("tar"), 1)

        def no_marker(*_):
            raise DiskFull("no space", "free some")

        store._commit, kept = no_marker, store._commit
        part = next(iter(Layout(tmp_path).shards.partials()))
        size = part.stat().st_size
        with pytest.raises(DiskFull):
            store.publish(claim, metadata)
        assert part.stat().st_size == size, "what cannot be published is taken out again"
        store._commit = kept
        store.release(claim)
    assert open_dataset(tmp_path).videos == ["a00000"]


@pytest.mark.parametrize("kind", ["tar", "hdf5"])
@pytest.mark.parametrize("call", ["rename", "symlink"])
def test_a_rename_done_but_reported_as_failed_loses_no_video(tmp_path, expected, monkeypatch, call, kind):
    """A former version truncated the partial shard after a rename that had been done; its commit marker stayed."""
    original, counted = getattr(os, call), [0]

    def wrong(*arguments, **named):
        result = original(*arguments, **named)
        counted[0] += 1
        if counted[0] == step:
            raise OSError(errno.EIO, "Input/output error")
        return result

    for step in range(1, 100):
        root, counted[0] = tmp_path / f"{call}-{step}", 0
        with monkeypatch.context() as patch:
            patch.setattr(os, call, wrong)
            try:
                make_sharded(root, config_of(kind), NAMES)
            except (OSError, UserError):
                pass
        if counted[0] < step:
            break
        assert set(Layout(root).published()) <= set(open_dataset(root).videos) if (root / "Shards").exists() else True
        make_sharded(root, config_of(kind), NAMES)
        assert videos_of(root) == expected and verify(root).ok
    assert step > 3


def test_an_unreadable_marker_does_not_count_as_missing(tmp_path, monkeypatch):
    root = make_sharded(tmp_path, config_of("tar"), NAMES).root

    def broken(*_, **__):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "readlink", broken)
    with pytest.raises(OSError, match="Input/output error"):
        Layout(root).shards.committed("a00000")


def test_a_stopped_owner_that_resumes_changes_nothing(tmp_path, expected):
    first, second = a_store(tmp_path), a_store(tmp_path)
    with first:
        first.release(make_one(first, "a00000"))
        claim = first.acquire("a00001")
        metadata = stage(first.frames, config_of("tar"), 1)
        first._shard._leases.__exit__()  # stopped: no more heartbeats
        with second:
            assert second.acquire("a00001") is None
            time.sleep(0.6)
            assert second._finish_dead_shard("a00000") or second.acquire("a00001")
            taken = second.acquire("a00001") or pytest.fail("a void claim is cleared away")
            with pytest.raises((LeaseLost, FileNotFoundError)):
                first.publish(claim, metadata)
            assert not claim.held()
            first.release(claim)
            assert second.layout.staging("a00001").parent.exists(), "the late owner does not remove another's claim"
            second.publish(taken, stage(second.frames, config_of("tar"), 1))
            second.release(taken)
            again = make_one(first, "a00002")  # with a new shard
            first.release(again)
    assert videos_of(tmp_path) == expected
    assert shards_of(tmp_path) == ["a00000-2.tar", "a00000-3.tar", "a00000.tar"]


def test_two_runs_share_the_work(tmp_path, expected):
    with a_store(tmp_path) as one, a_store(tmp_path) as two:
        claim = one.acquire("a00000")
        assert two.acquire("a00000") is None
        one.release(claim)
        one.release(make_one(one, "a00000"))
        late = two.acquire("a00000")
        assert two.complete("a00000"), "published meanwhile"
        two.release(late)
        two.release(make_one(two, "a00001"))
        two.release(make_one(two, "a00002"))
    assert shards_of(tmp_path) == ["a00000-2.tar", "a00000.tar"]
    assert videos_of(tmp_path) == expected


def test_frames_of_a_stopped_run_are_kept_as_one_file(tmp_path):
    with a_store(tmp_path) as store:
        claim = store.acquire("a00000")
        stage(store.frames, config_of("tar"), 0)
        staged = {p.name: p.read_bytes() for p in store.frames.staging("a00000").rglob("*.*")}
        store.log("a00000").write({"event": "stopped"})
        store.release(claim)
    assert [p.name for p in (tmp_path / "Shards/.unfinished").iterdir()] == ["a00000.tar"]
    assert '"stopped"' in Layout(tmp_path).log("a00000").read_text()
    with a_store(tmp_path) as store:
        claim = store.acquire("a00000")
        assert not store.complete("a00000")
        assert {p.name: p.read_bytes() for p in store.frames.staging("a00000").rglob("*.*")} == staged
        store.publish(claim, stage(store.frames, config_of("tar"), 0))
        store.release(claim)
    assert not any((tmp_path / "Shards/.unfinished").iterdir())


def test_scratch_is_empty_at_the_end(tmp_path):
    with a_store(tmp_path / "d", scratch=tmp_path / "scratch") as store:
        assert store.frames.root.parent == tmp_path / "scratch"
        store.release(make_one(store, "a00000"))
        assert not any(store.frames.staging_root.glob("[!.]*"))
    assert not any((tmp_path / "scratch").iterdir())


def test_markers_are_restored_where_a_copy_has_lost_them(tmp_path, expected):
    root = make_sharded(tmp_path, config_of("tar"), NAMES).root
    shutil.rmtree(root / "Shards/.published")
    make_sharded(root, config_of("tar"), NAMES)
    assert Layout(root).published() == NAMES
    assert videos_of(root) == expected and shards_of(root) == ["a00000.tar"]


def test_prune_finishes_shards_of_dead_owners_and_frees_their_videos(tmp_path):
    config = config_of("tar")
    (tmp_path / "config.yaml").write_text(config.to_yaml())
    child = os.fork()
    if child == 0:
        store = a_store(tmp_path, names=["a00000"]).__enter__()
        store.release(make_one(store, "a00000"))
        store.acquire("a00001")
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    with a_store(tmp_path, names=["a00002"]) as living:
        held = living.acquire("a00002")
        found = status(tmp_path, count=3)
        assert (found.done, found.running, found.interrupted) == (1, ["a00002"], ["a00001"])
        assert prune(Layout(tmp_path), config, None).leases == ["a00001"]
        assert held.held() and shards_of(tmp_path) == ["a00000.tar"]
        living.release(held)
    assert verify(tmp_path, names=["a00000"]).ok


def test_a_dataset_keeps_its_store(tmp_path):
    config = synthetic_config("assets.models=builtin", "assets.textures=builtin", "assets.backgrounds=builtin")
    catalogue = open_catalogue(config.assets)
    layout = Layout(tmp_path)
    open_for_writing(layout, config, catalogue)
    tar = config.model_copy(update={"runtime": config.runtime.model_copy(update={"store": "tar"})})
    with pytest.raises(UserError, match="was begun with --store folder, not tar: give --store folder"):
        open_for_writing(layout, tar, catalogue)
    layout.config.write_text(tar.to_yaml())
    (tmp_path / "Metadata").mkdir()
    with pytest.raises(UserError, match="holds videos as folders"):
        open_for_writing(layout, tar, catalogue)


def test_lists_of_splits_need_no_shard_contents(tmp_path, monkeypatch):
    root = make_sharded(tmp_path, config_of("tar"), NAMES).root
    for split in ("train", "val"):
        (root / f"ImageSets/{split}.txt").unlink()
    (root / "Shards/a00000.tar").rename(root / "away")
    assert write_image_sets(Layout(root)) == {"train": ["a00000", "a00001"], "val": ["a00002"]}


@pytest.mark.parametrize("kind", ["tar", "hdf5"])
def test_removing_videos_does_not_change_the_others(tmp_path, expected, kind):
    layout = make_sharded(tmp_path, config_of(kind), NAMES)
    with Leases(ShardLayout(layout.shards.root, process.new_name()), 0.5) as leases:
        assert remove_videos(layout, kind, leases, open_dataset(tmp_path), ["a00001"], []) == []
    assert layout.published() == ["a00000", "a00002"]
    assert videos_of(tmp_path) == {path: data for path, data in expected.items() if "a00001" not in path}
    make_sharded(tmp_path, config_of(kind), NAMES)
    assert videos_of(tmp_path) == expected and len(shards_of(tmp_path)) == 2
    assert verify(tmp_path, deep=True).ok


def test_valid_videos_of_a_truncated_shard_are_kept(tmp_path, expected):
    layout = make_sharded(tmp_path, config_of("tar"), NAMES)
    cut_off_shard(layout)
    report, damaged = verify(tmp_path), []
    assert report.bad_videos() == ["a00002"]
    store = open_dataset(tmp_path, lambda shard, _: damaged.append(shard))
    with Leases(ShardLayout(layout.shards.root, process.new_name()), 0.5) as leases:
        remove_videos(layout, "tar", leases, store, report.bad_videos(), damaged)
    make_sharded(tmp_path, config_of("tar"), NAMES)
    assert videos_of(tmp_path) == expected and verify(tmp_path, deep=True).ok


def test_a_video_in_a_partial_shard_is_left_to_its_worker(tmp_path):
    with a_store(tmp_path) as store:
        store.release(make_one(store, "a00000"))
        layout = Layout(tmp_path)
        with Leases(ShardLayout(layout.shards.root, process.new_name()), 0.5) as leases:
            assert remove_videos(layout, "tar", leases, open_dataset(tmp_path), ["a00000"], []) == ["a00000"]
    assert open_dataset(tmp_path).videos == ["a00000"]


def operations(folder, kind, videos):
    root = folder / f"shared{videos}"
    code = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[1])\n"
        "from tests.support.synthetic import make_sharded, synthetic_config\n"
        "config = synthetic_config('runtime.store=' + sys.argv[2])\n"
        "make_sharded(Path(sys.argv[3]), config, ['a%05d' % i for i in range(int(sys.argv[4]))])"
    )
    return count([sys.executable, "-c", code, ROOT, kind, root, str(videos)], root, folder / "trace")


@pytest.mark.parametrize("kind", ["tar", "hdf5"])
def test_a_video_costs_at_most_ten_operations_on_the_shared_file_system(tmp_path, kind):
    """Including its part of the operations of a run of 50 videos."""
    few, many = (operations(tmp_path, kind, videos) for videos in (4, 12))
    each = (many - few) / 8
    once = few - 4 * each
    assert each + once / 50 <= 10, f"{each} operations a video, {once} a run"


def test_a_lost_shard_is_not_opened_again(tmp_path):
    """In a former version, after one failed heartbeat every video was begun and abandoned."""
    with a_store(tmp_path) as store:
        store.release(make_one(store, "a00000"))
        lost = store._shard
        lost.lease.lost = True
        claim = store.acquire("a00001")
        assert claim.shard is not lost and claim.held()
        store.release(claim)


def test_a_dataset_that_was_renamed_ends_the_run(tmp_path):
    root = tmp_path / "data"
    root.mkdir()
    with pytest.raises(FatalError, match="is not there any more"), a_store(root) as store:
        store.release(make_one(store, "a00000"))
        claim = store.acquire("a00001")
        root.rename(tmp_path / "moved")
        with pytest.raises((LeaseLost, OSError, UserError)):
            store.publish(claim, stage(store.frames, config_of("tar"), 1))
        store.release(claim)
        store.acquire("a00002")
    assert not root.exists()
    assert open_dataset(tmp_path / "moved").videos == ["a00000"]
