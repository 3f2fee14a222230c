"""The pages: what they link to and name is there, and their code runs or imports what is there."""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import tollad

ROOT = Path(__file__).parents[1]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
PAGE = ROOT / "docs" / "arrhythmia.md"


def prose(page: Path) -> str:
    """A page without its blocks of code."""
    return re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives to the headings of a page."""
    found: dict[str, int] = {}
    for heading in re.findall(r"^#+ +(.+?) *$", prose(page), re.MULTILINE):
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        found[slug] = found.get(slug, -1) + 1
    return {f"{slug}-{again}" if again else slug for slug, times in found.items() for again in range(times + 1)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"`[^`]*`", "", prose(page))
    for link in re.findall(r"\]\(\s*([^)\s]+)", text) + re.findall(r"^\[.+?\]:\s*(\S+)", text, re.MULTILINE):
        if not re.match(r"[a-z]+:", link):
            path, _, anchor = link.partition("#")
            target = page.parent / path if path else page
            assert target.exists(), f"{page.name} links to {link}"
            assert not anchor or anchor in anchors(target), f"{page.name} links to {link}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_are_named_exist(page: Path) -> None:
    """A path from the top between backticks, `docs/large.md`; a source distribution has not all of its folders."""
    for path in re.findall(r"`((?:benchmarks|docs|results|src|tests)/[\w./*-]+)`", prose(page)):
        folder = ROOT / path.partition("/")[0]
        assert not folder.exists() or list(ROOT.glob(path.rstrip("/"))), f"{page.name} names {path}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_half_of_a_merge_is_left(page: Path) -> None:
    assert not re.search(r"^(<<<<<<<|>>>>>>>) ", page.read_text(encoding="utf-8"), re.MULTILINE)


def test_anchors_are_those_of_github(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Who may, and why?\n## `a_b` c-d\n```\n# no heading\n```\n### Twice\n### Twice\n")
    assert anchors(page) == {"who-may-and-why", "a_b-c-d", "twice", "twice-1"}


def test_every_page_is_linked_from_the_first() -> None:
    first = ROOT / "docs" / "index.md"
    links = {(first.parent / link).resolve() for link in re.findall(r"\]\((\S+\.md)\)", prose(first))}
    assert links >= set((ROOT / "docs").rglob("*.md")) - {first}


def blocks(page: Path) -> list[str]:
    """The blocks of Python of a page, without those that show what is printed: these run as tests of their rooms."""
    found = re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return [block for block in found if not block.startswith(">>>")]


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=lambda page: page.name)
def test_code_is_python_and_imports_what_is_there(page: Path) -> None:
    for block in blocks(page):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom):
                exec(compile(ast.Module([node], []), str(page), "exec"), {})


@pytest.mark.parametrize("name", ["beta.md", "series.md"])
def test_code_that_needs_no_files_runs(name: str) -> None:
    names: dict[str, object] = {}
    for block in blocks(ROOT / "docs" / name):
        exec(compile(block, name, "exec"), names)


@pytest.mark.data
def test_arrhythmia(tmp_path: Path) -> None:
    source = Path(os.environ.get("TOLLAD_DATA", "")) / "arrhythmia" / "arrhythmia.data"
    if not source.is_file():
        pytest.skip("needs arrhythmia/arrhythmia.data in the folder that TOLLAD_DATA names")
    shutil.copy(source, tmp_path)
    (script,) = re.findall(r"^```bash\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    auroc = re.search(r"AUROC (\S+)", done.stdout)
    assert auroc is not None
    assert float(auroc[1]) > 0.7
    assert "279: x1, x2" in done.stdout


def documented() -> list[object]:
    """What the pages of the reference show: what their directives name, and all of the modules among these."""
    found: list[object] = []
    for page in (ROOT / "docs" / "api").glob("*.md"):
        named = re.findall(r"^\.\. auto(module|class|function|data):: (\S+)", page.read_text(encoding="utf-8"), re.M)
        for kind, name in named:
            if kind == "module":
                module = importlib.import_module(name)
                found += [module, *(getattr(module, one) for one in getattr(module, "__all__", vars(module)))]
            else:
                home, _, name = name.rpartition(".")
                found.append(getattr(importlib.import_module(home), name))
    return found


# They need the weights of another package.
WITHOUT_EXAMPLE = {"efficientnet_lite2", "efficientnet_lite2_fine"}


def test_functions_and_classes_of_the_reference_show_an_example() -> None:
    shown = [one for one in documented() if inspect.isfunction(one) or inspect.isclass(one)]
    lacking = [
        f"{one.__module__}.{one.__name__}"
        for one in shown
        if one.__module__.startswith("tollad.")
        and not one.__name__.startswith("_")
        and one.__name__ not in WITHOUT_EXAMPLE
        and not re.search("^ *(>>> |::$)", inspect.getdoc(one) or "", re.MULTILINE)
    ]
    assert not lacking


# What a room hands to its neighbours is no public name.
BETWEEN_ROOMS = {"tollad.serve.onnx"}


def test_every_public_name_is_in_the_reference() -> None:
    modules = ["tollad.runtime"]
    for path in sorted(Path(tollad.__file__).parent.rglob("*.py")):
        if re.search("^__all__ = ", path.read_text(encoding="utf-8"), re.MULTILINE):
            parts = path.relative_to(Path(tollad.__file__).parents[1]).with_suffix("").parts
            modules.append(".".join(parts).removesuffix(".__init__"))
    known = {id(one) for one in documented()}
    lacking = [
        f"{module}.{name}"
        for module in modules
        if module not in BETWEEN_ROOMS
        for name in getattr(importlib.import_module(module), "__all__", ["Runtime"])
        if name != "__version__" and id(getattr(importlib.import_module(module), name)) not in known
    ]
    assert not lacking
