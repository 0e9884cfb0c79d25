import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from bl30k_gen.errors import UserError
from models.fusion import FusionConfig
from models.s2m import S2M, S2MConfig
from training.evaluation.scribbles import Stroke
from training.evaluation.session_log import SessionLog, read_session
from training.inference.options import Options, published_options
from training.interactive import interaction, propagation
from training.interactive.session import InteractiveSession
from training.interactive.state import State

EVERY = Options(memory_every=2, previous=True)


class Differences(torch.nn.Module):
    """Fusion that takes the newer result where the interaction changed something, else the older one."""

    config = FusionConfig()

    def __init__(self):
        super().__init__()
        self.distances = []

    def forward(self, image, older, newer, distance, difference):
        self.distances.append(distance[0].tolist())
        changed = difference.sum(2).clamp(0, 1)
        return ((older * (1 - changed) + newer * changed) - 0.5) * 20


def test_fusion_keeps_an_earlier_correction(cells):
    """Frame 89 is corrected after frame 25, and propagation back from 89 is wrong (MiVOS, figure 9)."""
    video, network, fusion = cells.video(100), cells.network(), Differences()
    session = InteractiveSession(network, video, [1], fusion=fusion, options=EVERY)
    session.set_mask(25, cells.mask(video, 25, {1: (0, 1)}))
    session.propagate()
    assert (session.labels(51) == cells.mask(video, 51, {1: (0, 1)})).all()
    network.lose[60] = (0,)
    session.set_mask(89, cells.mask(video, 89, {1: (0, 1, 6)}))
    session.propagate()
    # Differences are aligned at stride 16, so cells are looked at in their middle.
    assert (session.labels(51) == cells.mask(video, 51, {1: (0, 1, 6)}))[8::16, 8::16].all()
    assert (session.labels(95) == cells.mask(video, 95, {1: (0, 1, 6)})).all()
    assert (session.labels(10) == cells.mask(video, 10, {1: (0, 1)})).all(), "beyond an interacted frame"
    # Frames 88 to 26 were fused; the others are outside of the range or have no second reference.
    assert len(fusion.distances) == 63
    assert fusion.distances[88 - 51] == pytest.approx([26 / 64, 38 / 64])
    # In frames 59 to 26 the network had lost cell 0, and that is what it wrote into memory.
    unfused = {t: w for t, w in zip(network.memorised, network.written, strict=True)}
    assert unfused[51][0][cells.mask(video, 51, {1: (0,)}) == 1].max() < 0.01


@pytest.mark.parametrize("fusion, cell_0, cell_6", [("linear", True, False), ("none", False, True)])
def test_baselines_of_fusion_lose_one_of_both(cells, fusion, cell_0, cell_6):
    video, network = cells.video(100), cells.network()
    session = InteractiveSession(network, video, [1], fusion=fusion, options=EVERY)
    session.set_mask(25, cells.mask(video, 25, {1: (0, 1)}))
    session.propagate()
    network.lose[60] = (0,)
    session.set_mask(89, cells.mask(video, 89, {1: (0, 1, 6)}))
    session.propagate()
    ids = session.labels(51)
    assert (ids[cells.mask(video, 51, {1: (0,)}) == 1] == cell_0).all()
    assert (ids[cells.mask(video, 51, {1: (6,)}) == 1] == cell_6).all()


def test_each_frame_is_encoded_once_a_video(cells):
    video, network = cells.video(20), cells.network()
    session = InteractiveSession(network, video, [1, 2], fusion=Differences(), options=EVERY)
    for frame in (3, 12, 7):
        session.set_mask(frame, cells.mask(video, frame, {1: (0,), 2: (frame % 8,)}))
        session.propagate()
    assert sorted(network.queried) == list(range(20))
    assert [t for t in network.memorised if t in (3, 12, 7)].count(3) == 1, "certain memory is encoded once"


def test_the_cache_of_encoded_frames_is_bounded(cells):
    video, network = cells.video(20), cells.network()
    session = InteractiveSession(network, video, [1], options=EVERY, cache=200_000)
    for frame in (3, 12):
        session.set_mask(frame, cells.mask(video, frame, {1: (0,)}))
        session.propagate()
    assert len(network.queried) > 20
    assert 0 < session._propagation.encoded._bytes <= 200_000


def test_every_interaction_stays_in_permanent_memory_in_order(cells, monkeypatch, tmp_path):
    """A frame with two interactions is in memory twice, as in the published program; undo removes the last."""
    video, network = cells.video(12), cells.network()
    session = InteractiveSession(network, video, [1], options=EVERY)
    started = []
    add = propagation.Tracker.add_permanent
    monkeypatch.setattr(
        propagation.Tracker, "add_permanent", lambda self, e, o: (started.append(e.value[0, 0, 0]), add(self, e, o))
    )

    def correct(session, frame, mine):
        session.set_mask(frame, cells.mask(video, frame, {1: mine}))
        session.propagate()
        return [int(mask.sum()) for mask in started[-1]]

    assert correct(session, 2, (0,)) == [1]
    assert correct(session, 8, (0, 1)) == [1, 2]
    assert correct(session, 2, (4, 5, 6)) == [1, 2, 3]
    assert session.state.interacted == (2, 8, 2)
    assert (session.labels(2) == cells.mask(video, 2, {1: (4, 5, 6)})).all()
    session.save(tmp_path / "session.npz")
    session.undo()
    session.undo()
    assert correct(session, 5, (0, 1, 2, 3)) == [1, 2, 4]
    again = InteractiveSession(network, video, [1], options=EVERY)
    again.load(tmp_path / "session.npz")
    assert correct(again, 5, (0, 1, 2, 3)) == [1, 2, 3, 4]


def test_undo_goes_back_step_by_step(cells):
    video = cells.video(8)
    session = InteractiveSession(cells.network(), video, [1, 2], options=EVERY)
    steps = [session.masks()]
    session.set_mask(2, cells.mask(video, 2, {1: (0,)}))
    steps.append(session.masks())
    session.propagate()
    steps.append(session.masks())
    session.set_mask(5, cells.mask(video, 5, {2: (3,)}))
    steps.append(session.masks())
    session.propagate()
    for expected in reversed(steps):
        assert session.undo()
        assert (session.masks() == expected).all()
        if expected is steps[2]:
            assert session.state.interacted == (2,)
            session.set_mask(5, cells.mask(video, 5, {2: (3,)}))
            session.undo()
    assert not session.undo()
    forgetful = InteractiveSession(cells.network(), video, [1], options=EVERY, undo_budget=0)
    forgetful.set_mask(2, cells.mask(video, 2, {1: (0,)}))
    assert not forgetful.undo()


def test_a_round_above_the_undo_budget_can_be_undone(cells):
    video = cells.video(8)
    session = InteractiveSession(cells.network(), video, [1], options=EVERY, undo_budget=1000)
    session.set_mask(2, cells.mask(video, 2, {1: (0,)}))
    session.propagate()
    before = session.masks()
    session.set_mask(5, cells.mask(video, 5, {1: (3,)}))
    session.propagate()
    corrected = cells.mask(video, 5, {1: (3,)})
    assert session.undo() and (session.labels(5) == corrected).all() and (session.labels(1) == before[1]).all()
    assert not session.undo(), "older ones are above the budget"


def test_a_saved_session_continues_as_if_never_closed(cells, tmp_path):
    video = cells.video(9)
    sessions = [InteractiveSession(cells.network(), video, [1, 4], options=EVERY) for _ in range(2)]
    sessions[0].set_mask(2, cells.mask(video, 2, {1: (0,), 4: (1, 2)}))
    sessions[0].propagate()
    sessions[0].set_mask(6, cells.mask(video, 6, {1: (0, 5)}))
    sessions[0].save(tmp_path / "session.npz")
    sessions[1].load(tmp_path / "session.npz")
    for session in sessions:
        session.propagate()
    assert (sessions[0].masks() == sessions[1].masks()).all()
    assert sessions[1].state.rounds == 2
    for t in range(9):
        np.testing.assert_array_equal(sessions[0].prob(t), sessions[1].prob(t))


def test_a_file_of_another_session_is_refused(cells, tmp_path):
    video, file = cells.video(4), tmp_path / "session.npz"
    session = InteractiveSession(cells.network(), video, [1])
    session.save(file)
    with pytest.raises(UserError, match="number of frames 4, not 3"):
        InteractiveSession(cells.network(), video[:3], [1]).load(file)
    with pytest.raises(UserError, match="frame size"):
        InteractiveSession(cells.network(), np.pad(video, ((0, 0), (0, 0), (0, 16), (0, 0))), [1]).load(file)
    with pytest.raises(UserError, match="cannot be read"):
        session.load(tmp_path / "absent.npz")
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(UserError, match="no saved session"):
        session.load(file)
    np.savez(file, about=np.array([{}], dtype=object))
    with pytest.raises(UserError, match="no saved session"):
        session.load(file)


def test_an_object_added_later_ignores_memory_frames_without_it(cells):
    """Frames corrected before keep their masks; the object's own corrections bound its propagation."""
    video, network = cells.video(20), cells.network()
    session = InteractiveSession(network, video, [], fusion="linear", options=EVERY)
    assert session.add_object() == 1
    for frame in (4, 14):
        session.set_mask(frame, cells.mask(video, frame, {1: (0, 1)}))
        session.propagate()
    before = session.masks()
    assert session.add_object() == 2
    assert (session.masks() == before).all()
    session.brush(9, 1, row(24, 2, 2, (32, 64), 1).path, 0)  # while the new one is not drawn yet
    session.undo()
    session.set_mask(9, cells.mask(video, 9, {1: (0, 1), 2: (5, 6)}))
    session.propagate()
    for t in range(20):
        assert (session.labels(t) == cells.mask(video, t, {1: (0, 1), 2: (5, 6)})).all(), t
    # A correction that includes the new object bounds its propagation.
    session.set_mask(16, cells.mask(video, 16, {1: (0, 1), 2: (6,)}))
    session.propagate()
    assert (session.labels(18) == cells.mask(video, 18, {1: (0, 1), 2: (6,)})).all()
    assert (session.labels(8) == cells.mask(video, 8, {1: (0, 1), 2: (5, 6)})).all()


def test_a_corrected_frame_wins_over_an_object_that_comes_later(cells):
    video, network = cells.video(12), cells.network()
    session = InteractiveSession(network, video, [], fusion="linear", options=EVERY)
    session.add_object(3)
    session.set_mask(2, cells.mask(video, 2, {3: (0, 1)}))
    session.propagate()
    session.add_object(5)
    session.set_mask(8, cells.mask(video, 8, {3: (0,), 5: (1, 2)}))  # takes a cell of the other
    session.propagate()
    assert (session.labels(2) == cells.mask(video, 2, {3: (0, 1), 5: (2,)})).all(), "the user's pixels stay"
    for t in (0, 1, 9, 11):
        assert (session.labels(t) == cells.mask(video, t, {3: (0,), 5: (1, 2)}))[16:].all(), t


def test_deleted_objects_leave_all_frames_and_come_back(cells):
    video = cells.video(6)
    session = InteractiveSession(cells.network(), video, [1, 2], options=EVERY)
    session.set_mask(1, cells.mask(video, 1, {1: (0,), 2: (3,)}))
    session.propagate()
    before = session.masks()
    session.delete_object(1)
    assert (session.masks() == np.where(before == 1, 0, before)).all()
    with pytest.raises(ValueError, match="was deleted"):
        session.add_object(1)
    assert session.add_object() == 3
    session.set_mask(4, cells.mask(video, 4, {2: (3,), 3: (5,)}))
    session.propagate()
    assert (session.labels(0) == cells.mask(video, 0, {2: (3,), 3: (5,)})).all()
    for _ in range(4):
        assert session.undo()
    assert session.objects == (1, 2) and (session.masks() == before).all()
    for _ in range(4):
        assert session.redo()
    assert session.objects == (2, 3) and not session.redo()


def test_nothing_changes_a_locked_object(cells):
    video = cells.video(8)
    session = InteractiveSession(cells.network(), video, [1, 2], options=EVERY)
    session.set_mask(0, cells.mask(video, 0, {1: (0, 1), 2: (4,)}))
    session.propagate()
    held = session.masks() == 1
    session.lock(1)
    with pytest.raises(ValueError, match="object 1 is locked"):
        session.brush(3, 1, [(0.5, 0.5)])
    session.fill(3, 2, [(0, 0), (1, 0), (1, 1), (0, 1)])
    session.propagate()
    session.set_mask(6, cells.mask(video, 6, {1: (7,), 2: (0, 4)}))
    session.propagate()
    assert ((session.masks() == 1) == held).all()
    session.lock(1, False)
    session.fill(3, 2, [(0, 0), (1, 0), (1, 1), (0, 1)])
    assert (session.labels(3) == 2).all()


def test_an_object_that_is_locked_after_its_scribble_keeps_it(cells):
    size = (32, 64)
    session = InteractiveSession(None, cells.video(2), [1, 2], s2m=cells.strokes())
    session.scribble(1, [row(10, 20, 30, size, 1)])
    drawn = session.labels(1) == 1
    session.lock(1)
    ids = session.scribble(1, [row(10, 25, 40, size, 2)])
    assert drawn.any() and ((ids == 1) == drawn).all() and (ids == 2).any()


def test_propagation_in_one_direction_and_a_range(cells):
    video, network = cells.video(12), cells.network()
    session = InteractiveSession(network, video, [1], options=EVERY)
    session.set_mask(5, cells.mask(video, 5, {1: (0,)}))
    session.propagate(direction="forward", last=8)
    seen = [bool(session.labels(t).any()) for t in range(12)]
    assert seen == [False] * 5 + [True] * 4 + [False] * 3
    session.propagate(5, direction="backward", first=3)
    assert [t for t in range(12) if session.labels(t).any()] == [3, 4, 5, 6, 7, 8]
    session.propagate(5)
    assert session.masks().any((1, 2)).all() and session.state.rounds == 3
    assert session.state.interacted == (5,), "the same mask is in memory once"


def test_a_range_beyond_the_video_is_refused_before_anything_is_computed(cells):
    video, network = cells.video(6), cells.network()
    session = InteractiveSession(network, video, [1], options=EVERY)
    session.set_mask(2, cells.mask(video, 2, {1: (0,)}))
    for first, last in ((0, 6), (0, 40), (-1, 5), (4, 3), (0, -1)):
        with pytest.raises(ValueError, match=f"no range of frames {first} to {last}: .* frames 0 to 5"):
            session.propagate(first=first, last=last)
    assert network.queried == [] and session.state.rounds == 0


def test_an_exception_in_progress_does_not_change_the_session(cells):
    session = InteractiveSession(cells.network(), video := cells.video(9), [1], options=EVERY)
    session.set_mask(4, cells.mask(video, 4, {1: (0,)}))
    state, told = session.state, []

    def stop(frame, maps):
        told.append(frame)
        if len(told) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        session.propagate(progress=stop)
    assert session.state is state and told == [5, 6, 7]
    session.propagate()
    assert session.masks().any((1, 2)).all()


def test_fill_paints_an_outline_with_its_edge(cells):
    session = InteractiveSession(None, cells.video(2), [1, 2])
    ids = session.fill(0, 2, np.array([[10, 5], [20, 5], [20, 15], [10, 15]]) / (63, 31))
    expected = np.zeros((32, 64), np.uint8)
    expected[5:16, 10:21] = 2
    assert (ids == expected).all()
    with pytest.raises(ValueError, match="propagation network"):
        session.propagate()


def row(y, x0, x1, size, label):
    """A horizontal stroke between two pixels."""
    return Stroke(np.array([[x0, y], [x1, y]]) / (size[1] - 1, size[0] - 1), label)


def test_scribbles_of_several_objects_add_up_until_kept(cells):
    video, size = cells.video(4), (32, 64)
    s2m = cells.strokes()
    session = InteractiveSession(cells.network(), video, [3, 5], s2m=s2m, options=EVERY)
    ids = session.scribble(1, [row(10, 20, 30, size, 3)])
    assert (ids[9:12, 19:32] == 3).all() and (ids > 0).sum() == 3 * 13, "strokes are three pixels wide"
    ids = session.scribble(1, [row(20, 5, 12, size, 5), row(10, 28, 30, size, 0)])
    assert (ids[19:22, 4:14] == 5).all() and ids[10, 22] == 3 and ids[10, 30] == 0
    assert s2m.seen.mask.sum() == 0, "the mask before all the strokes"
    assert s2m.seen.positive[0, 0, 10, 22] == 1 and s2m.seen.negative[0, 0, 20, 8] == 1
    assert session.labels(0).sum() == 0
    session.keep()
    session.scribble(1, [row(25, 40, 50, size, 3)])
    assert s2m.seen.mask[0, 1].sum() == 3 * 10 and s2m.seen.positive[0, 0, 10, 22] == 0
    session.undo()
    assert (session.labels(1) == ids).all()


def test_local_control_changes_the_inside_of_its_box_only(cells):
    video, size = cells.video(2), (32, 64)
    s2m = cells.strokes()
    session = InteractiveSession(cells.network(), video, [1, 2], s2m=s2m, options=EVERY)
    before = cells.mask(video, 0, {1: (0, 1, 4, 5)})
    session.set_mask(0, before)
    ids = session.scribble(0, [row(16, 0, 63, size, 2)], box=(6, 20, 27, 61))
    assert s2m.seen.image.shape[-2:] == (32, 48), "the crop, padded"
    changed = np.argwhere(ids != before)
    assert changed.min(0).tolist() == [15, 23] and changed.max(0).tolist() == [17, 57], "less a margin of three"
    assert (ids[16, 23:58] == 2).all()
    tiny = session.scribble(0, [row(3, 0, 63, size, 2)], box=(1, 2, 6, 7))
    assert (tiny[2:5, 2:7] == 2).all(), "a small box has no margin"


def test_painting_reaches_the_edge_of_its_box(cells):
    session = InteractiveSession(None, cells.video(1), [1])
    everything = [(0, 0), (1, 0), (1, 1), (0, 1)]
    inside = np.zeros((32, 64), np.uint8)
    inside[6:27, 20:61] = 1
    assert (session.fill(0, 1, everything, box=(6, 20, 27, 61)) == inside).all()
    assert not session.fill(0, 0, everything, box=(6, 20, 27, 61)).any()
    assert (session.brush(0, 1, [(0.5, 0.5)], radius=99, box=(6, 20, 27, 61)) == inside).all()


def test_brush_paints_and_erases_pixels(cells):
    video, size = cells.video(2), (32, 64)
    session = InteractiveSession(cells.network(), video, [1, 2], options=EVERY)
    ids = session.brush(1, 2, row(16, 20, 40, size, 2).path, radius=3)
    y, x = np.mgrid[:32, :64]
    near = np.hypot(y - 16, np.maximum(np.maximum(20 - x, x - 40), 0)) <= 3
    assert (ids == np.where(near, 2, 0)).all()
    ids = session.brush(1, 0, row(16, 30, 30, size, 0).path, radius=5)
    assert (ids == np.where(near & (np.hypot(y - 16, x - 30) > 5), 2, 0)).all()
    ids = session.brush(1, 1, row(16, 20, 20, size, 1).path, radius=0)
    assert ids[16, 20] == 1 and (ids == 1).sum() == 1


class FakeClicks:
    """A disk of radius 4 around every positive click, without those around negative ones."""

    made = added = 0

    def __init__(self, network, image):
        FakeClicks.made += 1
        self.size, self.clicks = image.shape[-2:], []

    def undo(self):
        self.clicks.pop()

    def add(self, y, x, positive):
        FakeClicks.added += 1
        self.clicks.append((y, x, positive))
        rows, columns = torch.meshgrid(*map(torch.arange, self.size), indexing="ij")
        prob = torch.zeros(self.size)
        for y, x, positive in self.clicks:
            prob[(rows - y) ** 2 + (columns - x) ** 2 <= 16] = 0.99 if positive else 0.01
        return prob


def test_clicks_of_several_objects(cells, monkeypatch):
    monkeypatch.setattr(interaction, "ClickSession", FakeClicks)
    FakeClicks.made = FakeClicks.added = 0
    video = cells.video(3)
    session = InteractiveSession(cells.network(), video, [1, 2], clicks=torch.nn.Identity(), options=EVERY)
    session.click(0, 1, 10, 10)
    session.click(0, 2, 10, 40)
    ids = session.click(0, 1, 10, 14, positive=False)
    assert ids[10, 8] == 1 and ids[10, 14] == 0 and ids[10, 40] == 2
    assert FakeClicks.added == 3, "what was computed is not computed again"
    session.undo()
    assert session.labels(0)[10, 14] == 1
    again = session.click(0, 1, 20, 10)
    assert again[10, 14] == 1 and again[20, 10] == 1 and again[10, 40] == 2
    assert FakeClicks.made == 2, "one for each object"
    inside = session.click(0, 2, 20, 40, box=(12, 30, 32, 60))
    assert inside[20, 40] == 2 and inside[10, 40] == 2


def test_a_real_click_network_and_a_real_s2m(cells):
    """The networks are untrained: this checks only that all parts fit together."""
    from models.clicks import ClickConfig, ClickNetwork
    from models.s2m import S2M, S2MConfig

    torch.manual_seed(0)
    networks = {"s2m": S2M(S2MConfig("resnet18", 8, 8)).eval(), "clicks": ClickNetwork(ClickConfig(8, 8)).eval()}
    video = cells.video(2)
    session = InteractiveSession(cells.network(), video, [1, 2], options=EVERY, **networks)
    session.scribble(0, [row(10, 20, 30, (32, 64), 1)], box=(0, 0, 32, 40))
    session.click(0, 2, 20, 50)
    session.click(0, 2, 20, 55, positive=False)
    session.propagate()
    assert session.masks().shape == (2, 32, 64)


def test_sessions_at_another_working_size(cells, small):
    video = np.random.default_rng(0).integers(0, 256, (3, 90, 120, 3)).astype(np.uint8)
    network = small("stcn")
    session = InteractiveSession(network, video, [1], options=published_options(network, short_side=45))
    ids = session.brush(1, 1, [(0.5, 0.5)], radius=20)
    assert ids.shape == (90, 120) and ids[45, 60] == 1
    assert abs((ids == 1).sum() - np.pi * 400) < 100
    session.propagate()
    assert session.masks().shape == (3, 90, 120)


@pytest.mark.parametrize("name", ["stm", "stcn", "rde"])
def test_all_networks_and_precisions_in_rounds(small, name):
    video = np.random.default_rng(0).integers(0, 256, (6, 33, 47, 3)).astype(np.uint8)
    network, fusion = small(name), small_fusion()
    options = published_options(network, precision="bfloat16", memory_every=2)
    session = InteractiveSession(network, video, [1, 2], fusion=fusion, options=options)
    for frame in (1, 5, 3):
        ids = np.zeros((33, 47), np.uint8)
        ids[5:20, 5:20], ids[10:30, 25 + frame : 40] = 1, 2
        session.set_mask(frame, ids)
        session.propagate()
        assert (session.labels(frame) == ids).all()
    assert np.isfinite(session.prob(4)).all()


def small_fusion():
    from models.fusion import Fusion

    torch.manual_seed(0)
    return Fusion(FusionConfig(dim=8)).eval()


def test_events_with_a_fake_clock(cells, tmp_path):
    video, now = cells.video(5), SimpleNamespace(t=100.0)
    truth = np.stack([cells.mask(video, t, {1: (0,)}) for t in range(5)])
    log = SessionLog(tmp_path / "log.jsonl", "u", "cells", "m", clock=lambda: now.t)
    session = InteractiveSession(cells.network(), video, [1], options=EVERY, log=log, truth=truth)
    now.t += 2
    session.search(3)
    now.t += 4
    session.set_mask(3, truth[3])
    now.t += 1
    session.propagate(progress=lambda t, maps: setattr(now, "t", now.t + 10))
    events = read_session(tmp_path / "log.jsonl").events
    assert [(e.kind, e.start, e.end) for e in events] == [
        ("search", 0, 2),
        ("interact", 2, 6),
        ("compute", 6, 6),
        ("pause", 6, 7),
        ("compute", 7, 47),
    ]
    assert events[-1].about == {"round": 1, "frame": 3, "iou": 1.0}
    assert events[1].about == {"frame": 3, "tool": "mask"}
    json.loads((tmp_path / "log.jsonl").read_text().splitlines()[0])


def test_impossible_requests_are_refused(cells):
    video = cells.video(3)
    make = lambda **more: InteractiveSession(cells.network(), video, [1, 2], **more)  # noqa: E731
    session = make()
    for message, act in [
        ("no frame 3", lambda: session.set_mask(3, np.zeros((32, 64), np.uint8))),
        ("no object 9", lambda: session.brush(0, 9, [(0, 0)])),
        ("scribble-to-mask", lambda: session.scribble(0, [])),
        ("click network", lambda: session.click(0, 1, 2, 2)),
        ("no frame was corrected", session.propagate),
        ("frame 2 was not corrected", lambda: session.propagate(2)),
        ("frames are", lambda: session.set_mask(0, np.zeros((32, 60), np.uint8))),
        ("outside of frames of 64x32", lambda: make(clicks=torch.nn.Identity()).click(0, 1, 40, 3)),
        ("outside of box", lambda: make(clicks=torch.nn.Identity()).click(0, 1, 4, 3, box=(8, 8, 20, 20))),
        ("the background has no clicks", lambda: make(clicks=torch.nn.Identity()).click(0, 0, 4, 3)),
        ("has no pixel", lambda: session.brush(0, 1, [(0, 0)], box=(40, 0, 50, 9))),
        ("no frames", lambda: InteractiveSession(cells.network(), [], [1])),
        ("numbered from 1", lambda: InteractiveSession(cells.network(), video, [0, 1])),
        ("objects are", lambda: InteractiveSession(cells.network(), video, [1, 1])),
        ("254", lambda: InteractiveSession(cells.network(), video, [300])),
        ("flip", lambda: make(options=Options(flip=True))),
    ]:
        with pytest.raises(ValueError, match=message):
            act()
    assert session.state == State((1, 2), session.state.probs)


def test_a_scribble_on_one_object_creates_no_other():
    network = S2M(S2MConfig("resnet18", 8, 8)).eval()
    torch.nn.init.constant_(network.head[3].bias, 5.0)  # the network finds an object at every click
    frames = [np.random.default_rng(0).integers(0, 256, (32, 48, 3), np.uint8)] * 2
    session = InteractiveSession(None, frames, [1, 2, 3], s2m=network)
    session.fill(0, 3, [(0.7, 0.1), (0.9, 0.1), (0.9, 0.9)])
    session.scribble(0, [Stroke(np.array([[0.1, 0.3], [0.5, 0.3]]), 1)])
    assert set(np.unique(session.labels(0))) == {1, 3}
