"""Tables and figures from recipes: rows, resuming, and refusals."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from bl30k_gen.dataset.masks import encode_mask
from bl30k_gen.errors import UserError
from models import checkpoint
from models.clicks import ClickConfig, ClickNetwork
from models.s2m import S2M, S2MConfig
from training.experiments import components, measures
from training.experiments import context as context_module
from training.experiments.context import EvaluationContext
from training.experiments.tables import ablate
from training.inference.segment import checked_options
from training.schema.lookup import TABLES
from training.schema.table import load_table

SMALL = {"backbone": "resnet18", "memory_backbone": "resnet18", "key_dim": 8, "value_dim": 16, "decoder_dim": 8}


@pytest.fixture
def dataset(tmp_path, cells):
    """Two videos of cells; the second is shorter and shows two objects."""
    root = tmp_path / "data"
    for name, frames, objects in [("a", 6, {1: (0, 1)}), ("b", 4, {1: (0, 1), 2: (6,)})]:
        video = cells.video(frames)
        for kind in ("JPEGImages", "Annotations"):
            (root / kind / name).mkdir(parents=True)
        for t, frame in enumerate(video):
            Image.fromarray(frame).save(root / "JPEGImages" / name / f"{t:05d}.png")
            ids = cells.mask(video, t, objects)
            (root / "Annotations" / name / f"{t:05d}.png").write_bytes(encode_mask(ids))
    return root


@pytest.fixture
def perfect(dataset, monkeypatch, cells, tmp_path):
    """A context whose checkpoints all load as a perfect network; ``said`` has its messages."""
    monkeypatch.setattr(context_module, "load_network", lambda path, *kinds, device: cells.network())
    (tmp_path / "stm.pt").write_bytes(b"one")
    said = []
    context = EvaluationContext(dataset, {"stm": tmp_path / "stm.pt"}, protocol="all", device="cpu", say=said.append)
    object.__setattr__(context, "said", said)
    return context


@pytest.fixture
def real(dataset, tmp_path):
    """real(*names): a context with small untrained networks."""

    def make(*names):
        torch.manual_seed(0)
        for name in names:
            special = {
                "s2m": lambda: S2M(S2MConfig("resnet18", 8, 8)),
                "clicks": lambda: ClickNetwork(ClickConfig(8, 8)),
                "fusion": lambda: checkpoint.build("fusion", {"dim": 8}),
            }
            build = special.get(name, lambda name=name: checkpoint.build(name, SMALL))
            checkpoint.save(build(), tmp_path / f"{name}.pt")
        paths = {name: tmp_path / f"{name}.pt" for name in names}
        return EvaluationContext(dataset, paths, device="cpu", say=lambda text: None)

    return make


def recipe(path, **changes):
    """A recipe in a file."""
    plain = {
        "about": "a trial",
        "measure": "semi-supervised",
        "checkpoints": {"stm": "the network", "other": "another one"},
        "columns": ["J&F", "FPS"],
        "figure": "bars",
        "rows": [{"name": "mine", "network": "stm"}],
    }
    path.write_text(json.dumps(plain | changes))  # JSON is YAML
    return str(path)


def numbers(table):
    return {row[0]: row[1:] for row in table.rows}


def test_shipped_recipes_load_and_their_options_fit():
    networks = {kind: checkpoint.build(kind, SMALL) for kind in ("stm", "stcn", "rde")}
    for name in TABLES.names():
        for row in load_table(name).expanded():
            if row.network:
                checked_options(networks[row.network.split("-")[0]], **row.options)


def test_a_table_has_every_row_the_copied_mask_and_the_oracle(perfect, tmp_path):
    rows = [
        {"name": "softmax", "network": "stm", "options": {"top_k": None}, "published": {"J&F": 81.5}},
        {"name": "top-k & more", "network": "stm", "options": {"top_k": 4}},
        {"name": "absent", "network": "other"},
    ]
    table = ablate(recipe(tmp_path / "trial.yaml", rows=rows), perfect, tmp_path / "out")
    assert table.header == ["", "J&F", "FPS", "published J&F"]
    found = numbers(table)
    assert list(found) == ["softmax", "top-k & more", "absent", "first mask copied", "oracle"]
    assert found["softmax"][0] == found["oracle"][0] == 100.0 and found["softmax"][2] == 81.5
    assert found["softmax"][1] > 0 and found["oracle"][1] is None
    assert 0 < found["first mask copied"][0] < 90
    assert found["absent"] == [None, None, None]
    assert "[3/3] absent: left out, there is no other (another one): give --checkpoint other=PATH" in perfect.said
    assert r"top-k \& more" in (tmp_path / "out/trial.tex").read_text()
    assert "81.5" in (tmp_path / "out/trial.txt").read_text() and (tmp_path / "out/trial.csv").exists()
    machine = json.loads((tmp_path / "out/trial.json").read_text())
    assert machine["softmax"]["values"]["J mean"] == 100.0
    assert Image.open(tmp_path / "out/trial.png").size[0] > 300


def test_a_row_is_measured_once(perfect, tmp_path, monkeypatch):
    one = recipe(tmp_path / "one.yaml")
    ablate(one, perfect, tmp_path / "out")
    measured = []
    segment = measures.segment_dataset_video
    monkeypatch.setattr(measures, "segment_dataset_video", lambda *args: (measured.append(args[2]), segment(*args)))
    rows = [{"name": "the same by another name", "network": "stm"}]
    again = numbers(ablate(recipe(tmp_path / "two.yaml", rows=rows), perfect, tmp_path / "out"))
    assert again["the same by another name"][0] == 100.0 and not measured
    assert any("measured before" in line for line in perfect.said)
    ablate(recipe(tmp_path / "two.yaml", rows=[rows[0] | {"options": {"top_k": 3}}]), perfect, tmp_path / "out")
    assert measured == ["a", "b"]
    perfect.checkpoints["stm"].write_bytes(b"others")
    ablate(one, perfect, tmp_path / "out")
    assert measured == ["a", "b", "a", "b"]


def test_an_interrupted_row_continues_and_keeps_its_speed(perfect, tmp_path, monkeypatch):
    segment = measures.segment_dataset_video

    def stop_at_b(*args):
        if args[2] == "b":
            raise KeyboardInterrupt
        segment(*args)

    monkeypatch.setattr(measures, "segment_dataset_video", stop_at_b)
    plan = recipe(tmp_path / "plan.yaml")
    with pytest.raises(KeyboardInterrupt):
        ablate(plan, perfect, tmp_path / "out")
    monkeypatch.setattr(measures, "segment_dataset_video", segment)
    ablate(plan, perfect, tmp_path / "out")
    (speeds,) = (tmp_path / "out/rows").glob("*/speed.json")
    assert {name: speed["frames"] for name, speed in json.loads(speeds.read_text()).items()} == {"a": 6, "b": 4}
    assert sum(line == "a: 6 frames" for line in perfect.said) == 1


def test_j_against_distance_is_the_mean_over_objects(perfect, tmp_path):
    """Each of three objects moves by a cell a frame: its copied mask has one right cell after a frame, or none."""
    out = tmp_path / "out"
    ablate(recipe(tmp_path / "far.yaml", figure="distance", columns=["J mean"]), perfect, out)
    rows = json.loads((out / "far.json").read_text())
    assert rows["mine"]["series"]["J (%)"] == [100.0] * 4, "one video of the two ends there"
    series = rows["first mask copied"]["series"]
    # The protocol scores all frames, so the first scored one is the given one, at distance 1.
    assert series["distance (frames)"] == [1, 2, 3, 4]
    third = 100 / 3  # one cell of two, over three
    np.testing.assert_allclose(series["J (%)"], [100, 2 * third / 3, 0, 2 * third / 3])


def test_a_sweep_measures_every_row_with_every_value(perfect, tmp_path):
    plan = recipe(tmp_path / "sweep.yaml", figure="sweep", sweep={"sigma": [None, 5.6]}, columns=["J&F", "ms"])
    table = ablate(plan, perfect, tmp_path / "out")
    assert [row[0] for row in table.rows][:2] == ["mine, sigma none", "mine, sigma 5.6"]
    rows = [json.loads(file.read_text()) for file in (tmp_path / "out/rows").glob("*/row.json")]
    options = [row["identity"].get("options") for row in rows]
    assert {"sigma": None} in options and {"sigma": 5.6} in options
    assert (tmp_path / "out/sweep.png").exists()


def test_the_interactive_benchmark_as_a_table(perfect, tmp_path):
    plan = recipe(tmp_path / "i.yaml", measure="interactive", columns=["AUC J&F", "J&F@60s"], figure="time")
    found = numbers(ablate(plan, perfect, tmp_path / "out"))
    assert list(found) == ["mine", "scribbled frame copied", "oracle"]
    assert found["mine"][1] > 99 and found["scribbled frame copied"][1] < 80
    assert (tmp_path / "out/i.png").exists() and list((tmp_path / "out/rows").glob("*/report.csv"))


def test_components_add_up(real, tmp_path):
    growing = {"name": "growing", "network": "rde", "options": {"memory": "growing"}}
    rde = [{"name": "bank", "network": "rde"}, growing]
    columns = ["ms", "query", "memory", "reading", "decoder", "merging", "other"]
    changes = {"measure": "components", "checkpoints": {"rde": ""}, "columns": columns, "figure": "parts"}
    found = numbers(ablate(recipe(tmp_path / "c.yaml", rows=rde, **changes), real("rde"), tmp_path / "out"))
    for total, *parts in found.values():
        assert total == pytest.approx(sum(part for part in parts if part is not None)) and min(parts[:4]) > 0
    assert found["bank"][5] > 0 and found["growing"][5] is None


def test_interactions_clicks_and_fusion_are_timed(real, tmp_path, monkeypatch):
    monkeypatch.setattr(components, "REPEATS", 1)
    names = ["stm", "s2m", "clicks", "fusion"]
    found = numbers(ablate("mivos-table3", real(*names), tmp_path / "out"))
    assert len(found) == 5 and all(ms > 0 for (ms,) in found.values())


def test_embeddings_of_the_bank_and_of_the_growing_memory(real, tmp_path):
    ablate("rde-figure4", real("rde"), tmp_path / "out")
    rows = json.loads((tmp_path / "out/rde-figure4.json").read_text())
    growing, bank = (rows[name]["series"] for name in ("growing bank", "RDE's bank"))
    assert growing["frame"] == bank["frame"] == [0, 3]
    assert np.shape(growing["embedding"]) == np.shape(bank["embedding"]) == (2, 16)
    np.testing.assert_allclose(growing["embedding"][0], bank["embedding"][0], rtol=1e-4)
    assert not np.allclose(growing["embedding"][1], bank["embedding"][1])
    assert (tmp_path / "out/rde-figure4.png").exists()


def test_mistakes_are_one_clear_line_and_nothing_is_written(perfect, tmp_path):
    def run(given, **changes):
        ablate(
            recipe(tmp_path / "r.yaml", **changes),
            EvaluationContext(perfect.dataset, given, device="cpu"),
            tmp_path / "out",
        )

    rows = [{"name": "mine", "network": "stm"}]
    for said, changes in [
        ("column J&G is unknown: semi-supervised gives J&F", {"columns": ["J&G"]}),
        ("row mine needs the checkpoint stm: list it", {"checkpoints": {}}),
        ("two rows have one name", {"rows": rows * 2}),
        ("lacks a checkpoint for propagation", {"rows": [{"name": "mine"}]}),
        ("the figure time is drawn from interactive", {"figure": "time"}),
        ("needs one option in sweep", {"figure": "sweep"}),
        ("rows.0.net: Extra inputs", {"rows": [rows[0] | {"net": "stm"}]}),
        ("row mine: .*option topk is unknown: did you mean top_k?", {"rows": [rows[0] | {"options": {"topk": 5}}]}),
        ("option top_k = 'many'", {"rows": [rows[0] | {"options": {"top_k": "many"}}]}),
        ("no checkpoint stn: did you mean stm?", {"given": {"stn": tmp_path / "stm.pt"}}),
        ("checkpoint stm: there is no .*gone.pt", {"given": {"stm": tmp_path / "gone.pt"}}),
        ("no row of the table has all its checkpoints: give --checkpoint stm=PATH", {"given": {}}),
    ]:
        given = changes.pop("given", perfect.checkpoints)
        with pytest.raises(UserError, match=said):
            run(given, **changes)
    with pytest.raises(UserError, match="table mivos-tabel5 does not exist: did you mean mivos-table5?"):
        ablate("mivos-tabel5", perfect, tmp_path / "out")
    assert not list((tmp_path / "out").rglob("*.*"))


def test_rows_are_checked_before_the_first_is_measured(dataset, real, tmp_path):
    """An error in the last row must be found at the start, not after hours."""
    context = real("stm", "stcn", "fusion")
    mine = {"name": "mine", "network": "stm"}
    for said, last in [
        ("row last: an option does not fit: short_side is 3", {"network": "stcn", "options": {"short_side": 3}}),
        ("stcn.pt holds the network stcn: here one of fusion is needed", {"network": "stm", "fusion": "stcn"}),
        ("fusion.pt holds the network fusion", {"network": "fusion"}),
    ]:
        checkpoints = {name: name for name in context.checkpoints}
        plan = recipe(tmp_path / "r.yaml", checkpoints=checkpoints, rows=[mine, {"name": "last"} | last])
        with pytest.raises(UserError, match=said):
            ablate(plan, context, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("text", ["{", "[]", '{"outcomes": {"": {"values": 3}}}', '{"outcomes": {"": {}}}'])
def test_a_damaged_row_is_named(perfect, tmp_path, text):
    ablate(plan := recipe(tmp_path / "r.yaml"), perfect, tmp_path / "out")
    for file in (tmp_path / "out/rows").glob("*/row.json"):
        file.write_text(text)
    with pytest.raises(UserError, match="row.json is damaged: remove its folder"):
        ablate(plan, perfect, tmp_path / "out")
