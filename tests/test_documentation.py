"""The documentation is current: links have targets, generated pages are up to date, every result is listed."""

import json
import re
from pathlib import Path

import pytest

from bl30k_gen.settings import known_keys
from tests.support import configuration_page, messages_page

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
LINK = re.compile(r"\]\(\s*([^)#\s]+)[^)]*\)")


def test_the_page_of_keys_is_current():
    page = configuration_page.PAGE.read_text(encoding="utf-8")
    assert page == configuration_page.page(), "run python -m tests.support.configuration_page"
    assert all(f"`{key}`" in page for key in known_keys(configuration_page.Config))


def test_the_page_of_messages_is_current():
    page = messages_page.PAGE.read_text(encoding="utf-8")
    assert page == messages_page.page(), "run python -m tests.support.messages_page"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_have_targets(page):
    links = (link for link in LINK.findall(page.read_text(encoding="utf-8")) if not re.match(r"[a-z]+:", link))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_result_is_in_the_index():
    results = ROOT / "docs/results"
    listed = set(LINK.findall((results / "README.md").read_text(encoding="utf-8")))
    assert listed == {page.name for page in results.glob("*.md")} - {"README.md"}


def test_the_architecture_page_names_every_package():
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    packages = {p.parent for top in ("bl30k_gen", "training") for p in (ROOT / top).rglob("*.py")}
    content = ("builtin/",)  # one package of content, with a folder a kind
    names = {f"{package.relative_to(ROOT).as_posix()}/" for package in packages}
    assert {name for name in names if f"`{name}`" not in page and not any(c in name for c in content)} == set()


def test_the_session_script_is_valid_and_complete():
    """The example is valid as a script, and the tables name every action and key."""
    script = pytest.importorskip("training.interactive.script")  # where torch is missing, no session runs
    page = (ROOT / "docs/inference.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    plan = script.Script.model_validate_json(example)
    assert len(plan.actions) == len(json.loads(example)["actions"]) > 5
    schema = script.Script.model_json_schema()
    section = page[page.index("## A session script") :]
    names = {*schema["properties"], *schema["properties"]["actions"]["items"]["discriminator"]["mapping"]}
    names |= {key for action in schema["$defs"].values() for key in action["properties"]}
    assert {name for name in names if f"`{name}`" not in section} == set()
