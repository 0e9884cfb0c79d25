"""Authors and licences of a dataset's assets, from metadata, manifests and the files themselves."""

import csv
import json
import shutil

import pytest
from PIL import Image

from bl30k_gen.dataset.files import sha256
from bl30k_gen.library.catalogue.licence import Credit
from bl30k_gen.library.catalogue.manifest import Manifest

CUBE = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 2 3\nf 1 2 4\nf 1 3 4\nf 2 3 4\n"


@pytest.fixture
def dataset(tmp_path):
    """The parts of a small dataset that credits read, and its folders of assets."""
    photos, meshes = tmp_path / "photos", tmp_path / "meshes"
    for folder in (photos, meshes):
        folder.mkdir()
    for number in range(3):
        Image.new("RGB", (32, 32), (number, 0, 0)).save(photos / f"{number}.png")
        (meshes / f"{number}.obj").write_text(CUBE)
    lines = [
        {"file": "0.png", "licence": "CC BY 4.0", "author": "=cmd|x!A1", "source": "https://example.org/0"},
        {"file": "1.png", "licence": "cc0", "author": "A | B <script>", "source": "javascript:alert(1)"},
    ]
    lines[0] |= {"sha256": sha256(photos / "0.png"), "title": "A *photo*"}
    (photos / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (meshes / "manifest.jsonl").write_text(json.dumps({"file": "*", "licence": "MIT", "author": "We"}) + "\n")

    def reference(folder, file):
        path = folder / file
        return {"id": f"{folder.name}/{file}", "path": str(path), "sha256": sha256(path)}

    builtin = {"id": "builtin/vase/00", "path": "builtin:model/vase/00", "sha256": "0" * 64}
    root = tmp_path / "dataset"
    for folder in ("JPEGImages/a00000", "JPEGImages/a00001", "Annotations", "Metadata"):
        (root / folder).mkdir(parents=True)
    for number in range(2):
        objects = [
            {"model": reference(meshes, "0.obj"), "texture": reference(photos, f"{number}.png")},
            {"model": builtin, "texture": None},
        ]
        scene = {"objects": objects, "backdrop": {"image": reference(photos, f"{2 * number}.png")}}
        (root / f"Metadata/a0000{number}.json").write_text(json.dumps({"scene": scene}))
    shutil.copy("render_configs/bl30k.yaml", root / "config.yaml")
    flags = [f"assets.models=[{meshes}, builtin]", f"assets.textures={photos}", f"assets.backgrounds={photos}"]
    return root, [word for flag in flags for word in ("--set", flag)]


def rows(root):
    with open(root / "credits.csv", newline="") as file:
        return {(row["kind"], row["id"]): row for row in csv.DictReader(file)}


def test_every_asset_is_listed_once_with_its_author(dataset, generate):
    root, flags = dataset
    answer = json.loads(generate("assets", "credits", root, *flags, "--json").stdout)
    assert len(answer["assets"]) == 6 and answer["unfit"] == []
    found = rows(root)
    mesh = found["model", "meshes/0.obj"]
    assert (mesh["licence"], mesh["author"], mesh["videos"]) == ("MIT", "We", "2")
    assert found["model", "builtin/vase/00"]["licence"] == "CC0-1.0"
    photo = found["texture", "photos/0.png"]
    assert (photo["licence"], photo["title"], photo["source"]) == ("CC-BY-4.0", "A *photo*", "https://example.org/0")
    assert photo["licence_url"] == "https://creativecommons.org/licenses/by/4.0/"
    assert found["background", "photos/2.png"]["licence"] == "unknown"


def test_names_of_authors_are_escaped(dataset, generate):
    root, flags = dataset
    generate("assets", "credits", root, *flags)
    assert rows(root)["texture", "photos/0.png"]["author"] == "'=cmd|x!A1", "a spreadsheet would compute it"
    page = (root / "CREDITS.md").read_text()
    assert "javascript:" not in page and "<script>" not in page.replace("\\<", "")
    assert "[A \\*photo\\*](https://example.org/0)" in page
    assert all(line.count("|") - line.count("\\|") == 5 for line in page.splitlines() if line.startswith("|"))


def test_licences_that_do_not_fit_are_named(dataset, generate, tmp_path):
    root, flags = dataset
    said = generate(
        "assets", "credits", root, *flags, "--require", "cc0,cc-by", "--out", tmp_path / "credits", code=1
    ).stdout
    assert "does not fit: model meshes/0.obj: MIT" in said
    assert "does not fit: background photos/2.png: unknown" in said and "photos/1.png" not in said
    assert (tmp_path / "credits/CREDITS.md").exists()
    said = generate("assets", "credits", root, *flags, "--require", "unknown", code=2).stderr
    assert "unknown fits none" in said and said.count("\n") == 1


def test_a_file_that_was_replaced_has_an_unknown_licence(dataset, generate, tmp_path):
    root, flags = dataset
    Image.new("RGB", (32, 32), "green").save(tmp_path / "photos/0.png")
    (root / "Metadata/a00001.json").unlink()
    record = json.loads((root / "Metadata/a00000.json").read_text())
    generate("assets", "credits", root, *flags)
    assert rows(root)["texture", "photos/0.png"]["licence"] == "CC-BY-4.0", "the dataset has what the manifest names"
    record["scene"]["objects"][0]["texture"]["sha256"] = sha256(tmp_path / "photos/0.png")
    (root / "Metadata/a00000.json").write_text(json.dumps(record))
    generate("assets", "credits", root, *flags)
    assert rows(root)["texture", "photos/0.png"]["licence"] == "unknown"


def test_without_the_assets_folder_licences_are_unknown(dataset, generate, tmp_path):
    root, flags = dataset
    shutil.rmtree(tmp_path / "meshes")
    said = generate("assets", "credits", root, *flags)
    assert "does not exist" in said.stderr and rows(root)["model", "meshes/0.obj"]["licence"] == "unknown"


def test_a_manifest_overrides_a_files_own_data(tmp_path):
    lines = ['{"file": "a.glb", "licence": "cc0"}', '{"file": "*", "licence": "MIT", "author": 7}', '{"file": "half']
    (tmp_path / "manifest.jsonl").write_text("\n".join(lines))
    manifest, own = Manifest(tmp_path), Credit("CC-BY-4.0", "Me")
    assert manifest.of("a.glb", own).credit.licence == "CC0-1.0"
    assert manifest.of("b.glb", own).credit == own
    assert manifest.of("b.glb").credit == Credit("MIT") == manifest.of("b.glb", Credit()).credit
