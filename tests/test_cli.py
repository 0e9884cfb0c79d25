"""Commands of generate.py from rendering to export, and their error messages."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bl30k_gen import builtin
from bl30k_gen.dataset.preview import contact_sheet
from bl30k_gen.dataset.reader import open_dataset
from bl30k_gen.resources import config_names, find_config

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def dataset(rendered, tmp_path):
    """A copy of the rendered dataset that may be changed."""
    return shutil.copytree(rendered, tmp_path / "copy")


def test_a_dataset_has_bl30ks_layout(rendered):
    store = open_dataset(rendered)
    assert store.videos == ["a00000", "a00001", "a00002"]
    assert store.image_set("train") == ["a00000", "a00001"] and store.image_set("val") == ["a00002"]
    assert store.frames("a00000") == [f"{frame:05d}" for frame in range(6)]
    for frame in range(6):
        mask = Image.open(rendered / "Annotations/a00000" / f"{frame:05d}.png")
        image = Image.open(rendered / "JPEGImages/a00000" / f"{frame:05d}.jpg")
        assert mask.mode == "P" and mask.size == image.size == (128, 80)
        assert mask.getpalette()[:9] == [0, 0, 0, 128, 0, 0, 0, 128, 0]
    assert {path.name for path in rendered.iterdir()} >= {"config.yaml", "DATASET.md", "Logs", "Metadata"}
    assert not list(rendered.glob(".staging/*"))


def test_a_larger_count_does_not_change_earlier_videos(dataset, generate, tmp_path):
    before = {path: path.read_bytes() for path in (dataset / "Metadata").iterdir()}
    sheet = tmp_path / "look/sheet.png"
    said = generate("render", "--out", dataset, "--count", 4, "--limit", 1, "--sheet", sheet)
    assert "1 video rendered" in said.stdout and f"{sheet} shows a00003" in said.stderr
    assert np.array_equal(np.asarray(Image.open(sheet)), contact_sheet(open_dataset(dataset), ["a00003"]))
    assert open_dataset(dataset).videos == ["a00000", "a00001", "a00002", "a00003"]
    assert {path: path.read_bytes() for path in before} == before


def test_finished_videos_are_not_rendered_again(dataset, generate):
    answer = json.loads(generate("render", "--out", dataset, "--count", 3, "--json").stdout)
    assert answer["already"] == ["a00000", "a00001", "a00002"] and answer["frames"] == 0


def test_another_configuration_is_refused_by_the_key(dataset, generate, tiny):
    said = generate("render", *tiny, "--set", "lights.radius=12", "--out", dataset, "--count", 3, code=2).stderr
    assert said.count("\n") == 1 and "lights.radius = 11.0, not 12.0" in said


def test_other_assets_are_refused(dataset, generate, tmp_path):
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (64, 64)).save(tmp_path / "photos/one.png")
    record = json.loads((dataset / "catalogue.json").read_text())
    (dataset / "catalogue.json").write_text(json.dumps(record | {"models": 7, "digest": "0"}))
    said = generate("render", "--out", dataset, "--count", 4, code=2).stderr
    assert "was begun with other assets" in said and "7 models" in said


def test_scenes_may_be_planned_edited_and_rendered(generate, tiny, rendered, tmp_path):
    generate("plan", *tiny, "--out", tmp_path / "plan", "--index", 1)
    path = tmp_path / "plan/scenes/a00001.json"
    scene = json.loads(path.read_text())
    assert scene == open_dataset(rendered).metadata("a00001")["scene"]
    scene["objects"] = scene["objects"][:1]
    scene["video"]["frames"] = 2
    path.write_text(json.dumps(scene))
    plan = ["render", "--plan", tmp_path / "plan", "--out", tmp_path / "out"]
    assert "0 videos" in generate(*plan, "--shard", "1/2").stdout
    generate(*plan, "--shard", "0/2")
    store = open_dataset(tmp_path / "out")
    assert store.metadata("a00001")["scene"] == scene
    assert len(store.frames("a00001")) == 2


def test_a_mistake_in_an_edited_scene_names_the_key(generate, tiny, tmp_path):
    generate("plan", *tiny, "--out", tmp_path / "plan", "--index", 1)
    path = tmp_path / "plan/scenes/a00001.json"
    scene = json.loads(path.read_text())
    scene["objects"][0]["scale"][2] = [1.0, 2.0]
    path.write_text(json.dumps(scene))
    said = generate("render", "--plan", tmp_path / "plan", "--out", tmp_path / "out", code=2).stderr
    assert "objects.0.scale.2" in said


def test_replay_renders_the_same_pixels(rendered, generate, tmp_path):
    """Also of a video in a shard that `pack` wrote, where nothing but the shard has the configuration."""
    generate("pack", rendered, "--out", tmp_path / "shards")
    answer = json.loads(generate("replay", tmp_path / "shards", "a00002", "--threads-per-worker", 1, "--json").stdout)
    assert answer["frames"] == 6
    assert answer["mask_pixels_different"] == answer["rgb_pixels_different"] == 0
    assert "has no metadata of video nosuch" in generate("replay", rendered, "nosuch", code=2).stderr


def test_an_edited_published_scene_is_not_rendered_as_the_original(dataset, generate):
    """A former version rendered the old model for the new one."""
    path = dataset / "Metadata/a00000.json"
    metadata = json.loads(path.read_text())
    one, *_ = metadata["scene"]["objects"]
    used = one["model"]["id"]
    for name, said in [("builtin/no/thing", "is unknown"), (other_model(used), "lies in builtin:model/")]:
        one["model"]["id"] = name
        path.write_text(json.dumps(metadata))
        answer = generate("replay", dataset, "a00000", "--threads-per-worker", 1, code=2).stderr
        assert f"scene of a00000: model {name} {said}" in answer and answer.count("\n") == 1, answer


def other_model(id: str) -> str:
    return next(f"builtin/{family}/{variant}" for family, variant in builtin.names("model") if family not in id)


def test_a_refused_asset_is_replaced_and_named(generate, tiny, tmp_path):
    """The assets in other slots do not change."""
    models = tmp_path / "models"
    models.mkdir()
    square = "v 0 0 0\nv 1 0 0\nv 1 0.5 1\nv 0 1 0.2\nf 1 2 3 4\nf 1 2 4\nf 2 3 4\n"
    for number in range(4):
        (models / f"{number}.obj").write_text(square.replace("0.5", f"0.{number + 2}"))
    flags = [*tiny, "--set", f"assets.models={models}", "--set", "video={frames: 1, width: 64, height: 48}"]
    generate("render", *flags, "--out", tmp_path / "sound", "--count", 2)
    (models / "2.obj").write_text("v 0 0 0\nf 1 2 9\n")
    said = generate("render", *flags, "--out", tmp_path / "damaged", "--count", 2).stdout
    assert "1 asset refused" in said and "2.obj" in said
    sound, damaged = open_dataset(tmp_path / "sound"), open_dataset(tmp_path / "damaged")
    for name in sound.videos:
        before, after = (store.metadata(name)["scene"] for store in (sound, damaged))
        used = [thing["model"]["id"] for thing in before["objects"]]
        for old, new in zip(before["objects"], after["objects"], strict=True):
            if old["model"]["id"].endswith("2.obj"):
                assert new["model"]["id"] != old["model"]["id"] and new["location"] == old["location"]
            else:
                assert new == old
        if not any(model.endswith("2.obj") for model in used):
            assert sound.rgb_bytes(name, 0) == damaged.rgb_bytes(name, 0)


def test_the_report_has_images_and_numbers(rendered, generate, tmp_path):
    generate("preview", rendered, "--out", tmp_path)
    assert Image.open(tmp_path / "contact_sheet.jpg").width > 800
    assert Image.open(tmp_path / "animation.webp").n_frames == 6
    facts = json.loads(generate("info", rendered, "--json").stdout)
    assert (facts["videos"], facts["frames"], facts["size"]) == (3, 18, [128, 80])
    assert "all is well" in generate("verify", rendered, "--deep").stdout


def test_a_draft_is_the_same_video_in_small(generate, tmp_path):
    recipe = ["--config", "render_configs/bl30k.yaml", "--index", "0"]
    generate("plan", *recipe, "--out", tmp_path / "full")
    generate("plan", *recipe, "--draft", "--out", tmp_path / "draft")
    full, draft = (json.loads((tmp_path / kind / "scenes/a00000.json").read_text()) for kind in ("full", "draft"))
    assert draft["video"] == {"frames": 8, "width": 256, "height": 171}
    assert [thing["model"] for thing in draft["objects"]] == [thing["model"] for thing in full["objects"]]
    assert draft["camera"] == full["camera"] and draft["backdrop"] == full["backdrop"]
    assert draft["objects"][0] == full["objects"][0]


DEMO = ["--config", "render_configs/demo.yaml"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["render", "--out", "OUT", "--count", 1], "holds no config.yaml yet: give --config"),
        (["render", "--out", "OUT", "--config", "none.yaml", "--count", 1], "none.yaml does not exist"),
        (["config", "show", *DEMO, "--set", "video.frmes=3"], "did you mean video.frames?"),
        (["config", "show", *DEMO, "--set", "video.frames=0"], "video.frames = 0"),
        (["plan", *DEMO, "--out", "OUT"], "nothing is asked for"),
        (["plan", *DEMO, "--out", "OUT", "--count", -1], "--count -1"),
        (["plan", *DEMO, "--out", "OUT", "--count", 1, "--set", "assets.models=no"], "assets.models"),
        (["render", "--plan", "OUT", "--out", "OUT"], "holds no config.yaml yet"),
        (["info", "OUT"], "does not exist"),
        (["replay", "OUT", "a00000"], "does not exist"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(generate, tmp_path, arguments, said):
    out = tmp_path / "out"
    done = generate(*(str(out) if argument == "OUT" else argument for argument in arguments), code=2)
    assert said in done.stderr and done.stderr.count("\n") == 1, done.stderr
    assert not out.exists(), "nothing is left behind"


def test_a_dataset_without_finished_videos_is_said_to_be_one(generate, tmp_path):
    (tmp_path / "config.yaml").write_text("seed: 0\n")
    done = generate("info", tmp_path, code=2)
    assert "has no finished video yet" in done.stderr and "same command" in done.stderr


def test_a_folder_does_not_hide_the_configuration_of_its_name(tmp_path, monkeypatch):
    (tmp_path / "demo").mkdir()
    monkeypatch.chdir(tmp_path)
    assert find_config("demo") == ROOT / "render_configs/demo.yaml"
    assert config_names()[-1] == "thin" and all(find_config(name).is_file() for name in config_names())


def test_variants_differ_in_the_intended_keys(generate):
    answer = json.loads(
        generate("config", "diff", "render_configs/bl30k.yaml", "render_configs/bl30k_fast.yaml", "--json").stdout
    )
    assert answer and all(key.startswith("render.") for key in answer), "fast changes how, never what"


def test_the_demo_of_the_makefile_runs_and_runs_again(generate, tiny, tmp_path):
    """The Makefile's commands, on one tiny video."""
    plan = subprocess.run(["make", "--dry-run", "demo", "DEMO_VIDEOS=1"], cwd=ROOT, capture_output=True, text=True)
    assert plan.returncode == 0, plan.stderr
    lines = plan.stdout.replace("\\\n", " ").splitlines()
    commands = [line.split()[2:] for line in lines if len(words := line.split()) > 2 and words[1] == "generate.py"]
    assert [words[0] for words in commands] == ["render", "preview"]
    for _ in range(2):
        for command, *words in commands:
            words = [str(tmp_path / word) if word.startswith("out/") else word for word in words]
            generate(command, *words, *(tiny[2:] if command == "render" else []))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["demo", "demo.jpg", "demo_preview"]
