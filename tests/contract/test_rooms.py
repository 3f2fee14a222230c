"""Who may import whom: the rooms of `docs/architecture.md`, enforced on the syntax trees."""

from __future__ import annotations

import ast
import functools
import graphlib
import itertools
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Set
from pathlib import Path

import pytest

import tollad

SOURCE = Path(tollad.__file__).parent
ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
# Import names that differ from the names of their projects.
PROJECTS = {
    "PIL": "pillow",
    "mlflow": "mlflow-skinny",
    "prometheus_client": "prometheus-client",
    "python_multipart": "python-multipart",
    "sklearn": "scikit-learn",
}


def rules() -> dict[str, tuple[set[str], set[str]]]:
    """For each room the rooms, or single modules of them, and the packages of others that it may import."""
    section = PAGE.partition("\n## Who may import whom\n")[2].partition("\n## ")[0]
    (block,) = re.findall(r"^```\n(.*?)^```", section, re.DOTALL | re.MULTILINE)
    found = {}
    for line in block.splitlines():
        parts = re.fullmatch(r"(\w+)(?: \((.+?)\))?(?: +-> (.+))?", line)
        assert parts, f"no line of a room: {line}"
        room, packages, below = parts.groups()
        found[room] = set((below or "").split(", ")) - {""}, set((packages or "").split(", ")) - {""}
    return found


RULES = rules()


@functools.cache
def module_names() -> list[str]:
    """All modules, such as ``io.files``; a package has its own name, and the top one ``__init__``."""
    paths = (path.relative_to(SOURCE).with_suffix("") for path in SOURCE.rglob("*.py"))
    return sorted(".".join(path.parts).removesuffix(".__init__") for path in paths)


@functools.cache
def tree_of(module: str) -> ast.Module:
    path = SOURCE.joinpath(*module.split("."))
    file = path.with_suffix(".py") if path.with_suffix(".py").exists() else path / "__init__.py"
    return ast.parse(file.read_text(encoding="utf-8"))


@functools.cache
def imports(module: str, *, top_level_only: bool = False) -> frozenset[str]:
    """Return what a module imports: ``tollad.x.y`` for modules of tollad, else the first part of the name."""
    tree = tree_of(module)
    nodes = _at_import(tree) if top_level_only else ast.walk(tree)
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {_name(alias.name) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}.py, line {node.lineno}: imports are absolute here"
            assert node.module is not None
            found |= {_name(f"{node.module}.{alias.name}") for alias in node.names}
    return frozenset(found - {"__future__"})


def _at_import(tree: ast.Module) -> list[ast.AST]:
    """Every statement that runs when the module is imported: no bodies of functions, and nothing for type checkers."""
    nodes: list[ast.AST] = []
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        nodes.append(node)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            waiting += node.orelse
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            waiting += ast.iter_child_nodes(node)
    return nodes


@functools.cache
def _name(dotted: str) -> str:
    package, *rest = dotted.split(".")
    if package != "tollad":
        return package
    known = module_names()
    within = (".".join(rest[:end]) for end in range(len(rest), 0, -1))
    return f"tollad.{next((name for name in within if name in known), '__init__')}"


def of_tollad(names: Set[str]) -> set[str]:
    return {name.removeprefix("tollad.") for name in names if name.startswith("tollad.")}


def of_others(names: Set[str]) -> set[str]:
    """The projects of the packages that are neither tollad nor of the standard library."""
    others = {name for name in names if not name.startswith("tollad.")} - set(sys.stdlib_module_names)
    return {PROJECTS.get(name, name) for name in others}


def room_of(module: str) -> str:
    return module.partition(".")[0]


ROOMS = sorted({room_of(module) for module in module_names()} - {"__init__"})
# The public names of `__init__` come from everywhere, when they are first used.
MODULES = {room: [module for module in module_names() if room_of(module) == room] for room in ROOMS}


def test_every_room_has_a_line():
    assert set(RULES) == set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_room_says_what_lives_there(room):
    assert len(ast.get_docstring(tree_of(room)) or "") > 40


@pytest.mark.parametrize("room", ROOMS)
def test_modules_import_what_their_room_may(room):
    below, packages = RULES[room]
    allowed = {room, "__init__"} | (set(ROOMS) if below == {"everything"} else below)
    for module in MODULES[room]:
        for name in of_tollad(imports(module)):
            assert any(name == other or name.startswith(f"{other}.") for other in allowed), f"{module} imports {name}"
        assert of_others(imports(module)) <= packages, module


def test_no_room_imports_one_that_stands_above_it():
    """The lines stand from top to bottom."""
    order = list(RULES)
    for place, room in enumerate(order):
        below = {room_of(name) for name in RULES[room][0]} - {"everything"}
        assert below <= set(order[place + 1 :]), room


def test_no_circles():
    """Late imports count too; a package counts as what its modules import from it."""
    graph = {module: of_tollad(imports(module)) - {module} for module in module_names() if module != "__init__"}
    graphlib.TopologicalSorter(graph).prepare()


def test_packages_are_declared():
    """What a module imports is a dependency of the project by its own name, not by way of another's."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    requirements = [*project["dependencies"], *itertools.chain(*project["optional-dependencies"].values())]
    declared = {re.match(r"[A-Za-z0-9_.-]+", requirement)[0].lower() for requirement in requirements}
    for module in module_names():
        assert of_others(imports(module)) <= declared, module


def loaded_by(code: str) -> set[str]:
    """Return the packages that a fresh interpreter has loaded after `code`."""
    script = f"{code}\nimport json, sys\nprint(json.dumps(sorted({{name.partition('.')[0] for name in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_import_tollad_is_light():
    packages = set().union(*(packages for _, packages in RULES.values()))
    assert not of_others(loaded_by("import tollad; dir(tollad); tollad.__version__")) & packages


@pytest.mark.slow
def test_public_names_load_on_first_use():
    assert "torch" in loaded_by("import tollad; tollad.terms")


def test_files_and_sources_do_without_torch():
    loaded = loaded_by("from tollad.io import artifact, files, sources; from tollad.tables import features")
    assert not loaded & {"torch", "sklearn"}


class TestCommandLine:
    @pytest.mark.parametrize(
        "module",
        sorted(name for name in of_tollad(imports("cli.main", top_level_only=True)) if name.startswith("cli.")),
    )
    def test_commands_import_only_click_at_the_top(self, module):
        found = imports(module, top_level_only=True)
        allowed = ("click", "tollad.cli.", "tollad.__init__", "tollad.io.streams", "tollad.warn")
        assert all(name.startswith(allowed) for name in found - set(sys.stdlib_module_names))

    @pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["fit", "--help"], ["score", "--help"]])
    def test_help_loads_neither_torch_nor_numpy(self, arguments):
        code = (
            "import contextlib, io, sys\n"
            f"sys.argv = ['tollad', *{arguments!r}]\n"
            "from tollad.cli.main import main\n"
            "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n"
            "    main()"
        )
        assert not loaded_by(code) & {"numpy", "torch", "sklearn", "pyarrow", "matplotlib"}
