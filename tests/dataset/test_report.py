"""The report's page: its numbers, escaping of names, and display in a browser."""

import json
import shutil

import pytest
import yaml
from typer.testing import CliRunner

from bl30k_gen.cli import app
from bl30k_gen.dataset.pack import pack
from bl30k_gen.dataset.reader import open_dataset
from bl30k_gen.errors import UserError
from tests.support.browser import browser

HOSTILE = """'"><script>alert("x")</script>"""
READ_NUMBERS = "Object.fromEntries([...document.querySelectorAll('data')].map(d => [d.dataset.key, d.value]))"
READ_IMAGES = (
    "Promise.all([...document.images].map(image => image.decode().catch(() => 0)))"
    ".then(() => [...document.images].map(image => image.naturalWidth))"
)


def flat(value, prefix=""):
    """``{dotted key: leaf}`` of nested mappings and lists."""
    if not isinstance(value, (dict, list)):
        return {prefix: value}
    items = value.items() if isinstance(value, dict) else enumerate(value)
    inner = (flat(leaf, f"{prefix}.{key}" if prefix else key) for key, leaf in items)
    return {key: leaf for leaves in inner for key, leaf in leaves.items()}


def report(root, *flags):
    """Run the command in this process; returns the numbers."""
    done = CliRunner().invoke(app, ["report", str(root), "--json", *flags], catch_exceptions=False)
    assert done.exit_code == 0
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def reported(rendered, generate, tmp_path_factory):
    """The numbers and the page of the rendered dataset."""
    out = tmp_path_factory.mktemp("report")
    return json.loads(generate("report", rendered, "--out", out, "--json").stdout), out


def test_numbers_are_those_of_the_dataset(reported, rendered):
    numbers, out = reported
    assert (numbers["videos_there"], numbers["videos"], numbers["frames"]) == (3, 3, 18)
    assert numbers["render"]["frames"] == 18 and numbers["render"]["videos"] == 3
    assert numbers["render"]["worker_hours"] > 0 and numbers["failures"] == []
    scenes = [json.loads(path.read_text())["scene"] for path in (rendered / "Metadata").iterdir()]
    assert numbers["objects"] == sum(len(scene["objects"]) for scene in scenes)
    assert numbers["assets"]["background"]["uses"] == 3
    assert numbers["assets"]["model"]["licences"] == {"CC0-1.0": numbers["assets"]["model"]["assets"]}
    assert {".claim.json", "report.html", "CREDITS.md", "credits.csv"} == {path.name for path in out.iterdir()}


def test_the_report_works_in_a_browser(reported, tmp_path):
    numbers, out = reported
    with browser(tmp_path / "profile") as page:
        for width, dark in ((1280, False), (390, True)):
            page.open(out / "report.html", width, dark)
            widths = page.evaluate(READ_IMAGES)
            assert len(widths) == 3 * 6 * 2 and all(shown > 0 for shown in widths)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert page.evaluate("getComputedStyle(document.body).backgroundColor") == (
                "rgb(20, 23, 26)" if dark else "rgb(252, 252, 251)"
            )
        shown, expected = page.evaluate(READ_NUMBERS), flat(numbers)
        assert len(shown) > 60
        assert {key: float(value) for key, value in shown.items()} == {key: expected[key] for key in shown}
        assert page.errors == []
        assert {address.split(":")[0] for address in page.requests} <= {"file", "data"}
        assert sum(address.startswith("file:") for address in page.requests) == 2  # the page itself, twice


def test_the_browser_check_finds_errors(tmp_path):
    (tmp_path / "bad.html").write_text("<img src='missing.png'><script>console.error('no'); undefinedName</script>")
    with browser(tmp_path / "profile") as page:
        page.open(tmp_path / "bad.html")
        assert page.evaluate(READ_IMAGES) == [0]
        assert len(page.errors) >= 3


def test_equal_datasets_give_equal_pages_folder_and_shards_alike(dataset, tmp_path):
    for kind in ("tar", "hdf5"):
        pack(open_dataset(dataset.root), tmp_path / kind / "data", kind)
    roots = [dataset.root, tmp_path / "tar/data", tmp_path / "hdf5/data"]
    for root in [*roots, dataset.root]:
        report(root)
    pages = {(root / "report.html").read_bytes() for root in roots}
    assert len(pages) == 1
    assert len({(root / "credits.csv").read_bytes() for root in roots}) == 1
    report(dataset.root)
    assert {(dataset.root / "report.html").read_bytes()} == pages


def change(dataset, name, act):
    path = dataset.metadata(name)
    metadata = json.loads(path.read_text())
    act(metadata)
    path.write_text(json.dumps(metadata))


def test_names_from_outside_are_escaped(dataset, tmp_path):
    def poison(metadata):
        asset = {"id": HOSTILE, "path": HOSTILE, "sha256": HOSTILE}
        metadata["scene"]["backdrop"]["image"] = asset
        metadata["scene"]["objects"][0]["model"] = asset
        metadata |= {"split": HOSTILE, "config_digest": HOSTILE, "versions": {HOSTILE: HOSTILE}}

    change(dataset, "a00000", poison)
    shutil.copytree(dataset.root / "JPEGImages/a00001", dataset.root / f"JPEGImages/{HOSTILE.replace('/', '')}")
    dataset.metadata(HOSTILE.replace("/", "")).write_text("{}")
    logs = dataset.root / "Logs"
    (logs / "runs").mkdir(parents=True)
    (logs / "a00009.failed.json").write_text(json.dumps({"reason": HOSTILE}))
    spent = {"event": "published", "name": HOSTILE, "frames": 8, "seconds": 8, "frame_seconds": 1}
    lines = [{"event": "ready", "device_name": HOSTILE, "threads": 1}, spent]
    (logs / "runs/x.jsonl").write_text("".join(json.dumps({"host": HOSTILE, **line}) + "\n" for line in lines))
    root = dataset.root.rename(tmp_path / f"data {HOSTILE.replace('/', '')}")
    report(root, "--samples", "9")
    page = (root / "report.html").read_text()
    assert page.count("&lt;script&gt;") >= 12
    assert "<script" not in page
    with browser(tmp_path / "profile") as shown:
        shown.open(root / "report.html")
        assert shown.evaluate("document.scripts.length") == 0 and shown.errors == []
        assert shown.evaluate("document.body.innerText").count(HOSTILE) >= 5


def test_damaged_videos_are_named_and_left_out(dataset):
    dataset.metadata("a00001").write_text("{ cut off")
    change(dataset, "a00002", lambda metadata: metadata.pop("objects"))
    dataset.rgb("a00000", 0).write_bytes(b"no image")
    numbers = report(dataset.root)
    assert numbers["damaged"] == {"videos": 2, "examples": ["a00001", "a00002"]}
    assert (numbers["videos_there"], numbers["videos"]) == (3, 1)
    page = (dataset.root / "report.html").read_text()
    assert "a00001, a00002" in page and "00000.jpg is damaged" in page


def test_failures_by_reason(dataset):
    logs = dataset.root / "Logs"
    logs.mkdir()
    for name in ("a00000", "a00007", "a00008", "a00009"):
        reason = "Blender was ended by SIGSEGV" if name < "a00009" else "a mesh is missing"
        (logs / f"{name}.failed.json").write_text(json.dumps({"reason": reason}))
    numbers = report(dataset.root)
    assert numbers["failures"] == [
        {"reason": "Blender was ended by SIGSEGV", "videos": 2, "examples": ["a00007", "a00008"]},  # a00000 is there
        {"reason": "a mesh is missing", "videos": 1, "examples": ["a00009"]},
    ]
    assert numbers["render"] is None


def test_a_dataset_without_metadata_is_shown(dataset):
    shutil.rmtree(dataset.root / "Metadata")
    numbers = report(dataset.root)
    assert (numbers["videos_there"], numbers["videos"], len(numbers["samples"])) == (3, 0, 3)
    page = (dataset.root / "report.html").read_text()
    assert "nothing to count" in page and "Render time" not in page and page.count("data:image/jpeg") == 3 * 6 * 2
    assert not (dataset.root / "CREDITS.md").exists()


def test_credits_keep_their_lines_when_assets_are_gone(dataset):
    """A dataset that was shipped has its credits and no folders of assets."""
    folder = {"id": "photos/a.jpg", "path": "photos/a.jpg", "sha256": "1" * 64}
    change(dataset, "a00000", lambda metadata: metadata["scene"]["backdrop"].update(image=folder))
    report(dataset.root)
    listed = dataset.root / "credits.csv"
    assert "background,photos/a.jpg,,,unknown" in listed.read_text()
    told = listed.read_text().replace(
        "photos/a.jpg,,,unknown,,", "photos/a.jpg,A sea,'=Ann,CC-BY-4.0,x,https://x.org"
    )
    listed.write_text(told)
    numbers = report(dataset.root)
    assert numbers["assets"]["background"]["licences"] == {"CC-BY-4.0": 1, "CC0-1.0": 1}
    assert "photos/a.jpg,A sea,'=Ann,CC-BY-4.0,https" in listed.read_text()
    listed.write_text("this,is\nsomething,else\n")
    with pytest.raises(UserError, match="credits.csv is no list of credits"):
        report(dataset.root)


def test_info_describes_a_dataset(rendered):
    cited = yaml.safe_load((rendered / "CITATION.cff").read_text())
    assert cited["cff-version"] == "1.2.0" and cited["type"] == "dataset" and cited["authors"]
    metadata = json.loads((rendered / "Metadata/a00000.json").read_text())
    assert cited["identifiers"][0]["value"] == metadata["config_digest"]
    assert (rendered / "DATASET.md").exists() and (rendered / "config.yaml").exists()
