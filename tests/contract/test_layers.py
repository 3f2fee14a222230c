"""Who may import whom: the picture of the architecture, enforced on the syntax trees.

A wall is moved by changing `MODULES` together with the picture.
"""

from __future__ import annotations

import ast
import graphlib
import itertools
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import tollad

SOURCE = Path(tollad.__file__).parent
# Import names that differ from the names of their projects.
PROJECTS = {"PIL": "pillow", "sklearn": "scikit-learn"}

# module: (modules of tollad, third-party packages) that it may import, be it at the top or within a function.
MODULES: dict[str, tuple[set[str], set[str]]] = {
    "__init__": ({"metrics", "networks", "terms", "detector", "objective", "streaming"}, set()),
    "terms": (set(), {"torch"}),
    "networks": (set(), {"torch"}),
    "dense": ({"networks"}, {"torch"}),
    "stack": ({"dense", "networks"}, {"torch"}),
    "objective": ({"terms"}, {"torch"}),
    "batches": (set(), {"numpy", "torch"}),
    "files": (set(), {"numpy", "safetensors"}),
    "artifact": ({"files"}, {"numpy"}),
    "stored": (set(), {"numpy"}),
    "feeding": ({"stored"}, {"numpy", "torch"}),
    "features": ({"stored", "warn"}, {"numpy", "sklearn"}),
    "metrics": (set(), {"numpy", "sklearn"}),
    "warn": (set(), set()),
    "calibration": (set(), {"numpy", "scipy"}),
    "explain": (set(), {"numpy"}),
    "scoring": ({"stack", "objective"}, {"numpy", "torch"}),
    "training": ({"stack", "objective", "terms"}, {"torch"}),
    "fitting": ({"artifact", "batches", "objective", "scoring", "stack", "training", "warn"}, {"numpy", "torch"}),
    "settings": ({"networks", "objective"}, {"numpy", "torch"}),
    "build": ({"networks", "stack"}, {"numpy", "torch"}),
    "detector": (
        {
            "batches",
            "build",
            "calibration",
            "columns",
            "explain",
            "features",
            "feeding",
            "fitting",
            "objective",
            "rows",
            "scoring",
            "settings",
            "stack",
            "state",
            "stored",
            "training",
        },
        {"numpy", "sklearn", "torch"},
    ),
    "rows": ({"columns", "features", "stored"}, {"numpy", "sklearn"}),
    "state": ({"artifact", "calibration", "columns", "features", "fitting", "settings"}, {"numpy", "torch"}),
    "pyod": ({"detector"}, {"numpy", "pyod", "sklearn"}),
    "textfile": ({"warn"}, {"numpy", "pyarrow"}),
    "sources": ({"textfile"}, {"numpy", "pyarrow"}),
    "options": (set(), {"click"}),
    "terminal": (set(), {"click"}),
    "card": ({"artifact", "columns"}, {"numpy"}),
    "columns": ({"sources"}, {"numpy", "pyarrow"}),
    "images": ({"data.formats"}, {"PIL", "numpy"}),
    "intake": ({"columns", "sources", "stored"}, {"numpy", "pyarrow"}),
    "inputs": (
        {"columns", "detector", "features", "images", "intake", "sources", "stored", "textfile"},
        {"numpy", "pyarrow"},
    ),
    "series": (set(), {"numpy"}),
    "inputs_series": (
        {"calibration", "columns", "detector", "inputs", "series", "sources"},
        {"numpy", "pyarrow"},
    ),
    "verdicts": ({"calibration", "detector", "inputs"}, {"numpy", "pyarrow"}),
    "outputs": ({"files", "terminal"}, {"pyarrow"}),
    "skipping": ({"files"}, set()),
    "streaming": ({"detector", "inputs", "sources", "textfile"}, {"numpy"}),
    "theory": (set(), {"numpy", "scipy"}),
    # The benchmark data sets. No torch.
    "data": (set(), set()),
    "data.formats": (set(), {"numpy"}),
    "data.catalogue": ({"data", "data.formats"}, {"numpy"}),
    "data.protocols": ({"data", "data.catalogue"}, {"numpy"}),
    "data.fetch": ({"data.catalogue", "data.formats", "files"}, {"pooch", "tqdm"}),
    # The paper's tables. Nothing below knows that a paper exists.
    "bench": (set(), set()),
    "bench.spec": ({"networks", "terms"}, set()),
    "bench.tables": ({"bench.spec"}, set()),
    "bench.results": (set(), set()),
    "bench.measures": (set(), {"torch"}),
    "bench.machine": ({"bench.spec", "networks"}, {"torch"}),
    "bench.feed": ({"batches", "data.protocols"}, {"numpy", "torch"}),
    "bench.execute": (
        {
            "artifact",
            "bench.feed",
            "bench.machine",
            "bench.measures",
            "bench.results",
            "bench.spec",
            "build",
            "data.protocols",
            "objective",
            "stack",
            "training",
        },
        {"numpy", "torch"},
    ),
    "bench.baselines": (
        {"bench.machine", "bench.results", "bench.spec", "data.protocols", "metrics"},
        {"numpy", "sklearn", "torch"},
    ),
    "bench.plan": ({"bench.execute", "bench.spec"}, set()),
    "bench.campaign": (
        {
            "bench.baselines",
            "bench.execute",
            "bench.plan",
            "bench.results",
            "bench.spec",
            "data.catalogue",
            "data.protocols",
        },
        {"torch"},
    ),
    "bench.projection": (
        {
            "artifact",
            "bench.campaign",
            "bench.execute",
            "bench.machine",
            "bench.plan",
            "bench.results",
            "bench.spec",
        },
        {"torch"},
    ),
    "bench.report": ({"bench.results", "bench.spec", "bench.tables"}, {"numpy"}),
}
# The ends of the house may use everything; nothing may use them but they each other.
ENDS = {"bench.figures", "cli", "cli_data", "cli_paper", "demo", "figures", "plots"}


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


@pytest.mark.parametrize("module", sorted(set(module_names()) - ENDS))
def test_module_imports_only_what_lies_below(module):
    assert module in MODULES, f"{module}.py has no place in the picture: add it to MODULES"
    below, packages = MODULES[module]
    found = imports(module)
    assert of_tollad(found) <= below
    foreign = {name for name in found if not name.startswith("tollad.")} - set(sys.stdlib_module_names)
    assert foreign <= packages


@pytest.mark.parametrize("module", module_names())
def test_packages_are_declared(module):
    """What a module imports is a dependency of the project by its own name, not by way of another's."""
    project = tomllib.loads((SOURCE.parent.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    requirements = [*project["dependencies"], *itertools.chain(*project["optional-dependencies"].values())]
    declared = {re.match(r"[A-Za-z0-9_.-]+", requirement)[0].lower() for requirement in requirements}
    foreign = {name for name in imports(module) if not name.startswith("tollad.")} - set(sys.stdlib_module_names)
    assert {PROJECTS.get(name, name) for name in foreign} <= declared


def test_nothing_imports_the_ends():
    for module in set(module_names()) - ENDS:
        assert not of_tollad(imports(module)) & ENDS, module


def test_no_cycles():
    """Late imports count too, but for those of the package itself, which holds only names for its user."""
    graph = {module: of_tollad(imports(module)) - {"__init__"} for module in module_names() if module != "__init__"}
    order = list(graphlib.TopologicalSorter(graph).static_order())
    assert order.index("terms") < order.index("detector")


def test_the_picture_names_no_module_twice_or_in_vain():
    assert not MODULES.keys() & ENDS
    assert MODULES.keys() | ENDS == set(module_names())
    for module, (below, packages) in MODULES.items():
        assert below <= MODULES.keys(), module
        assert not packages & set(sys.stdlib_module_names), module


def loaded_by(code: str) -> set[str]:
    """Return the packages that a fresh interpreter has loaded after `code`."""
    script = f"{code}\nimport json, sys\nprint(json.dumps(sorted({{name.partition('.')[0] for name in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_import_tollad_is_light():
    packages = set().union(*(packages for _, packages in MODULES.values()))
    assert not loaded_by("import tollad; dir(tollad); tollad.__version__") & packages


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
