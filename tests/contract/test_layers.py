"""Who may import whom: the picture in `docs/architecture.md`, enforced on the syntax trees.

A wall is moved by changing the picture; there is no second one here.
"""

from __future__ import annotations

import ast
import itertools
import json
import re
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

import pytest

import tollad

SOURCE = Path(tollad.__file__).parent
ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
# Import names that differ from the names of their projects.
PROJECTS = {"PIL": "pillow", "sklearn": "scikit-learn"}


def section(title: str) -> str:
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def picture() -> list[tuple[str, set[str], set[str]]]:
    """Every module from top to bottom, the modules of tollad and the packages that it imports."""
    (block,) = re.findall(r"^```\n(.*?)^```", section("Who may import whom"), re.DOTALL | re.MULTILINE)
    found = []
    for line in re.sub(r"\n +", " ", block).splitlines():
        if line and not line.startswith("# "):
            parts = re.fullmatch(r"([\w., ]+?)(?: \((.+?)\))?(?: +-> (.+))?", line)
            assert parts, f"no line of the picture: {line}"
            modules, packages, below = (set(part.split(", ")) if part else set() for part in parts.groups())
            found += [(module, below, packages) for module in sorted(modules)]
    return found


PICTURE = {module: (below, packages) for module, below, packages in picture()}


def module_names() -> list[str]:
    """All modules, those of packages as ``data.catalogue``, packages by their name."""
    paths = (path.relative_to(SOURCE).with_suffix("") for path in SOURCE.rglob("*.py"))
    return sorted(".".join(path.parts).removesuffix(".__init__") for path in paths)


def imports(module: str, *, top_level_only: bool = False) -> set[str]:
    """Return what a module imports: ``tollad.x`` for modules of tollad, else the first part of the name."""
    path = SOURCE.joinpath(*module.split("."))
    file = path.with_suffix(".py") if path.with_suffix(".py").exists() else path / "__init__.py"
    tree = ast.parse(file.read_text(encoding="utf-8"))
    nodes = _at_import(tree) if top_level_only else ast.walk(tree)
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {_name(alias.name) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}.py, line {node.lineno}: imports are absolute here"
            assert node.module is not None
            found |= {_name(f"{node.module}.{alias.name}") for alias in node.names}
    return found - {"__future__"}


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


def _name(dotted: str) -> str:
    package, *rest = dotted.split(".")
    if package != "tollad":
        return package
    known = set(module_names())
    within = (".".join(rest[:end]) for end in range(len(rest), 0, -1))
    return f"tollad.{next((name for name in within if name in known), '__init__')}"


def of_tollad(names: set[str]) -> set[str]:
    return {name.removeprefix("tollad.") for name in names if name.startswith("tollad.")}


def of_others(names: set[str]) -> set[str]:
    """The projects of the packages that are neither tollad nor of the standard library."""
    others = {name for name in names if not name.startswith("tollad.")} - set(sys.stdlib_module_names)
    return {PROJECTS.get(name, name) for name in others}


@pytest.mark.parametrize("module", module_names())
def test_module_imports_what_the_picture_shows(module):
    assert module in PICTURE, f"{module} has no place in the picture of docs/architecture.md: give it one"
    below, packages = PICTURE[module]
    found = imports(module)
    assert of_tollad(found) == below
    assert of_others(found) == packages


def test_the_picture_shows_every_module_once_and_above_all_that_it_imports():
    """So there are no cycles. Late imports count too."""
    order = [module for module, _, _ in picture()]
    assert sorted(order) == module_names()
    for place, module in enumerate(order):
        assert PICTURE[module][0] <= set(order[place + 1 :]), module


def test_the_table_names_every_module_once():
    cells = re.findall(r"^\| (`.*?) \|", section("The house"), re.MULTILINE)
    files = Counter(re.findall(r"`(.+?)`", " ".join(cells)))
    assert files == Counter(_file(module) for module in module_names())


def _file(module: str) -> str:
    name = module.replace(".", "/")
    return f"{name}/" if (SOURCE / name / "__init__.py").exists() else f"{name}.py"


@pytest.mark.parametrize("module", module_names())
def test_packages_are_declared(module):
    """What a module imports is a dependency of the project by its own name, not by way of another's."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    requirements = [*project["dependencies"], *itertools.chain(*project["optional-dependencies"].values())]
    declared = {re.match(r"[A-Za-z0-9_.-]+", requirement)[0].lower() for requirement in requirements}
    assert of_others(imports(module)) <= declared


def loaded_by(code: str) -> set[str]:
    """Return the packages that a fresh interpreter has loaded after `code`."""
    script = f"{code}\nimport json, sys\nprint(json.dumps(sorted({{name.partition('.')[0] for name in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_import_tollad_is_light():
    packages = set().union(*(packages for _, packages in PICTURE.values()))
    assert not of_others(loaded_by("import tollad; dir(tollad); tollad.__version__")) & packages


def test_public_names_load_on_first_use():
    assert "torch" in loaded_by("import tollad; tollad.terms")


def test_files_and_sources_do_without_torch():
    loaded = loaded_by("from tollad import artifact, features, files, sources")
    assert not loaded & {"torch", "sklearn"}


class TestCommandLine:
    def test_imports_only_click_at_the_top(self):
        found = imports("cli", top_level_only=True)
        assert found - set(sys.stdlib_module_names) <= {
            "click",
            "tollad.__init__",
            "tollad.cli_data",
            "tollad.cli_paper",
            "tollad.options",
            "tollad.terminal",
            "tollad.warn",
        }

    @pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["fit", "--help"], ["score", "--help"]])
    def test_help_loads_neither_torch_nor_numpy(self, arguments):
        code = (
            "import contextlib, io, sys\n"
            f"sys.argv = ['tollad', *{arguments!r}]\n"
            "from tollad.cli import main\n"
            "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n"
            "    main()"
        )
        assert not loaded_by(code) & {"numpy", "torch", "sklearn", "pyarrow", "matplotlib"}
