"""Checks of assets: findings, caching, and isolation of the parent process."""

import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from benchmarks.faults import fuzz_assets
from bl30k_gen.config import Assets, Limits, load_config
from bl30k_gen.library.cache import cached_model
from bl30k_gen.library.catalogue import index
from bl30k_gen.library.catalogue.catalogue import open_catalogue
from bl30k_gen.library.checking.health import examine
from bl30k_gen.library.checking.inspector import Bounds, Inspector, check
from bl30k_gen.render import dataset

LIMITS = Limits(max_faces=2000, max_image_side=256, max_megapixels=1)
BOUNDS = Bounds(seconds=60, memory_gb=4)
ROOT = Path(__file__).parents[3]

# Replaces the checking process: it does what the file's text says.
ACTOR = """
import json, os, sys, time
for line in sys.stdin:
    path = json.loads(line)["path"]
    with open(path) as file: act = file.read()
    if act.startswith("die"): os._exit(3)
    if act.startswith("kill"): os.kill(os.getpid(), 11)
    if act.startswith("sleep"): time.sleep(600)
    if act.startswith("wait"): time.sleep(3)
    while act.startswith("hang"): pass
    if act.startswith("once") and not os.path.exists(path + ".seen"):
        open(path + ".seen", "w").close()
        os._exit(1)
    print(json.dumps({"refused": "", "remarks": [str(os.getpid())]}), flush=True)
"""


@pytest.fixture
def actor(tmp_path):
    (tmp_path / "actor.py").write_text(ACTOR)
    with Inspector(Bounds(seconds=1.0, memory_gb=1), (sys.executable, str(tmp_path / "actor.py"))) as inspector:
        inspector.bounds = Bounds(seconds=30.0, memory_gb=1)
        yield inspector


def act(inspector, tmp_path, name, text):
    (tmp_path / name).write_text(text)
    return inspector.examine(str(tmp_path / name), "model", LIMITS)


def test_one_process_serves_many_assets(actor, tmp_path):
    processes = {act(actor, tmp_path, f"{n}.obj", "fine").remarks for n in range(5)}
    assert len(processes) == 1 and actor.started == 1


@pytest.mark.parametrize(
    ("does", "said"),
    [("die", "GiB of memory"), ("kill", "SIGSEGV"), ("hang", "more than 1 s"), ("sleep", "more than 1 s")],
)
def test_an_asset_that_crashes_the_process_is_refused(actor, tmp_path, does, said):
    act(actor, tmp_path, "a.obj", "fine")
    actor.bounds = Bounds(seconds=1.0, memory_gb=1)
    health = act(actor, tmp_path, "b.obj", does)
    assert health.fatal and said in health.refused and "b.obj" in health.refused
    actor.bounds = Bounds(seconds=30.0, memory_gb=1)
    assert act(actor, tmp_path, "c.obj", "fine").refused == ""


def test_a_busy_machine_does_not_count_against_an_asset(actor, tmp_path):
    """The limit is processor time: a process that is only waiting is not refused."""
    act(actor, tmp_path, "a.obj", "fine")
    actor.bounds = Bounds(seconds=1.0, memory_gb=1)
    assert act(actor, tmp_path, "b.obj", "wait").refused == ""


def test_an_earlier_asset_does_not_count_against_the_next(actor, tmp_path):
    act(actor, tmp_path, "a.obj", "fine")
    assert act(actor, tmp_path, "b.obj", "once").refused == ""


def test_memory_is_bounded(tmp_path):
    """A loader that exceeds its memory is refused like a crash."""
    (tmp_path / "greedy.py").write_text(
        "import resource, sys\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        "from bl30k_gen.library.checking import health\n"
        "health.load_model = lambda *_: bytearray(3 << 30)\n"
        "health.main()\n"
    )
    with Inspector(Bounds(60, 2), (sys.executable, str(tmp_path / "greedy.py"))) as inspector:
        health = inspector.examine("a.obj", "model", LIMITS)
    assert health.fatal and "2 GiB" in health.refused


# --- what is found ------------------------------------------------------------------------------------------------


def export(mesh, path):
    path.write_bytes(mesh.export(file_type="stl"))
    return str(path)


def test_flipped_normals_are_remarked_on(tmp_path):
    sphere = trimesh.creation.icosphere(subdivisions=2)
    assert examine(export(sphere, tmp_path / "sound.stl"), "model", LIMITS) == ("", [])
    turned = trimesh.Trimesh(sphere.vertices, sphere.faces[:, ::-1], process=False)
    assert "look inwards" in examine(export(turned, tmp_path / "in.stl"), "model", LIMITS)[1][0]
    mixed = np.where((np.arange(len(sphere.faces)) % 2 == 0)[:, None], sphere.faces, sphere.faces[:, ::-1])
    odd = trimesh.Trimesh(sphere.vertices, mixed, process=False)
    assert "disagree" in examine(export(odd, tmp_path / "mixed.stl"), "model", LIMITS)[1][0]


def test_open_and_non_manifold_meshes_are_accepted(tmp_path):
    sphere = trimesh.creation.icosphere(subdivisions=2)
    half = trimesh.Trimesh(sphere.vertices, sphere.faces[sphere.triangles_center[:, 2] > 0], process=False)
    fan = trimesh.Trimesh([[0, 0, 0], [0, 0, 1], [1, 0, 0], [0, 1, 0], [-1, 0, 0]], [[0, 1, 2], [0, 1, 3], [0, 1, 4]])
    for name, mesh in (("half", half), ("fan", fan)):
        assert examine(export(mesh, tmp_path / f"{name}.stl"), "model", LIMITS) == ("", [])


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "mine"
    root.mkdir()
    export(trimesh.creation.icosphere(subdivisions=1), root / "sound.stl")
    export(trimesh.creation.icosphere(subdivisions=4), root / "large.stl")
    (root / "empty.obj").write_text("v 0 0 0\n")
    (root / "bare.obj").write_text("mtllib bare.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 1\nusemtl a\nf 1 2 3\n")
    (root / "bare.mtl").write_text("newmtl a\nmap_Kd gone.png\n")
    Image.new("RGB", (20, 20)).save(root / "photo.png")
    return root


def test_problems_are_recorded(folder):
    findings = check(str(folder), LIMITS, BOUNDS, workers=1)
    assert (findings.checked, findings.sound) == (5, 2)
    reasons = {file: reason.rpartition(": ")[2] for file, reason in findings.refused.items()}
    assert reasons.keys() == {"large.stl", "empty.obj", "bare.obj"}
    assert "max_faces = 2000" in reasons["large.stl"] and "gone.png is missing" in reasons["bare.obj"]
    rows = index.read(folder).rows
    assert rows["sound.stl"].health.refused == "" and "no faces" in rows["empty.obj"].health.refused


def test_names_of_any_kind_can_be_listed(generate, folder):
    for name in (b"no\xfftext.obj", b"\x1b[2Jtwo\nlines.stl", b"[red]x[].stl"):
        shutil.copy(folder / "sound.stl", os.fsencode(folder) + b"/" + name)
    said = generate("assets", "list", folder, "--category", "mine").stdout
    assert "?[2Jtwo?lines.stl" in said and "[red]x[" in said and "no?text.obj" in said and "\x1b" not in said


def test_only_what_changed_is_checked_again(folder, monkeypatch):
    check(str(folder), LIMITS, BOUNDS, workers=1)
    asked, sound = [], index.Health("", False, ())
    monkeypatch.setattr(Inspector, "examine", lambda self, path, *_: asked.append(path) or sound)
    export(trimesh.creation.box(), folder / "sound.stl")
    check(str(folder), LIMITS, BOUNDS, workers=1)
    assert [Path(path).name for path in asked] == ["sound.stl"]
    asked.clear()
    check(str(folder), LIMITS.model_copy(update={"max_faces": 9}), BOUNDS, workers=1)
    assert len(asked) == 5, "other limits may refuse other assets"


def test_a_build_never_loads_assets_that_crashed_a_check(folder, monkeypatch):
    monkeypatch.setattr(Inspector, "examine", lambda self, path, *_: index.Health(f"{path}: hangs", True, ()))
    check(str(folder), LIMITS, BOUNDS, workers=1)
    sources = {"models": str(folder), "textures": "builtin", "backgrounds": "builtin"}
    models = open_catalogue(Assets(**sources, limits=LIMITS)).models
    assert len(models) == 4 and all("hangs" in model.fatal for model in models)
    export(trimesh.creation.box(), folder / "sound.stl")
    models = open_catalogue(Assets(**sources, limits=LIMITS)).models
    assert [model.id for model in models if not model.fatal] == ["mine/sound.stl"], "it is another file now"


def test_a_build_replaces_assets_that_crash_the_loader(folder, monkeypatch):
    """It is replaced like any refused asset, but without opening it."""
    export(trimesh.creation.box(), folder / "box.stl")
    for name in ("large.stl", "empty.obj", "bare.obj"):
        (folder / name).unlink()
    verdicts = {"sound.stl": index.Health("sound.stl: crashes the loader", True, ())}
    fine = index.Health("", False, ())
    monkeypatch.setattr(Inspector, "examine", lambda self, path, *_: verdicts.get(Path(path).name, fine))
    check(str(folder), LIMITS, BOUNDS, workers=1)
    config = load_config(ROOT / "render_configs/demo.yaml", [f"assets.models={folder}", "dataset.val_share=0"])
    opened: list[str] = []
    watched = lambda path, *rest: (opened.append(path), cached_model(path, *rest))[1]  # noqa: E731
    monkeypatch.setattr(dataset, "cached_model", watched)
    scene = dataset.sampler(config, open_catalogue(config.assets))("a00000")
    assert {thing.model.id for thing in scene.spec.objects} == {"mine/box.stl"}
    assert ("mine/sound.stl", "sound.stl: crashes the loader") in scene.refusals
    assert not any(path.endswith("sound.stl") for path in opened)


def test_the_command_names_the_problem(folder, generate):
    command = ["assets", "check", folder, "--set", "assets.limits.max_faces=2000", "--workers", 1]
    said = generate(*command, code=1).stdout
    assert said.count("refused: ") == 3 and "2 of 5 assets can be used" in said
    answer = json.loads(generate(*command, "--json", code=1).stdout)
    assert answer[str(folder)]["sound"] == 2


# --- fuzzing --------------------------------------------------------------------------------------------------------


def test_some_damaged_assets_crash_nothing(tmp_path, monkeypatch):
    for name in (fuzz_assets.ELSEWHERE, fuzz_assets.INSIDE):
        monkeypatch.setenv(name, "")  # which the campaign sets
    *_, result = fuzz_assets.campaign(200, seed=1, scratch=tmp_path, bounds=BOUNDS)
    assert result.ok, result.fatal + result.elsewhere
    verdicts = sum(result.counts.values(), start=type(result.counts[".obj"])())
    assert verdicts["refused"] > 50 and verdicts["loaded"] > 10, "the damage is neither nothing nor everything"


def test_the_campaign_finds_files_read_outside_the_folder(tmp_path):
    """The check itself: a loader that opens the file outside is caught."""
    inside = tmp_path / "asset"
    inside.mkdir()
    Image.new("RGB", (4, 4)).save(inside / "a.png")
    (tmp_path / "secret.png").write_bytes((inside / "a.png").read_bytes())
    notes = tmp_path / "notes.txt"
    notes.touch()
    environment = {fuzz_assets.ELSEWHERE: str(notes), fuzz_assets.INSIDE: str(inside)}
    with pytest.MonkeyPatch.context() as patch, Inspector(BOUNDS, fuzz_assets.CHILD) as inspector:
        for name, value in environment.items():
            patch.setenv(name, value)
        assert inspector.examine(str(inside / "a.png"), "texture", LIMITS).refused == ""
        assert notes.read_text() == ""
        inspector.examine(str(tmp_path / "secret.png"), "texture", LIMITS)
    assert os.path.basename(notes.read_text().strip()) == "secret.png"
