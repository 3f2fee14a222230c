"""How Sphinx builds the site: `make docs` writes it to docs/_build/html. Nothing is taken from the network."""

from __future__ import annotations

import importlib
import os
import re
import shutil
from pathlib import Path
from typing import Any

import click
from docutils import nodes
from docutils.parsers.rst import Directive
from latex2mathml.converter import convert
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.math import get_node_equation_number
from sphinx.writers.html5 import HTML5Translator
from sphinx_gallery.scrapers import figure_rst

import tollad
from tollad.cli.main import main

project = "tollad"
project_copyright = "the tollad developers"
version = release = tollad.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "numpydoc", "sphinx_gallery.gen_gallery"]
exclude_patterns = ["_build", "examples", "sg_execution_times.rst"]
nitpicky = True
smartquotes = False  # "auto" is a value, to be copied as it is

# A name in single backticks is a link where it is documented here. Others are names of parameters, of attributes and of
# other packages. Names of our own that do not exist are errors all the same, see `check_name`.
default_role = "py:obj"
nitpick_ignore_regex = [("py:obj", r"(?!tollad\.).*")]

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
# The pages show code of the command line with its output; no lexer knows both.
highlight_language = "none"

autodoc_typehints = "none"
autodoc_member_order = "bysource"
autodoc_mock_imports = ["mlflow", "pandas", "pyod"]
autodoc_default_options = {
    "members": True,
    "inherited-members": "ClassNamePrefixFeaturesOutMixin,TransformerMixin,OutlierMixin,BaseEstimator,BaseDetector",
}
numpydoc_show_class_members = False

toc_object_entries_show_parents = "hide"

html_theme = "furo"
html_title = f"tollad {release}"
html_static_path = ["_static"]
html_css_files = ["tollad.css"]
html_copy_source = False
html_show_sphinx = False
html_math_renderer = "mathml"
# The function below cannot be kept for the next build, which is no reason to fail.
suppress_warnings = ["config.cache"]


def written_pictures(block: Any, block_vars: dict[str, Any], gallery_conf: dict[str, Any]) -> str:
    """Show the pictures that a block of an example wrote to files beside itself, as `tollad.plots` does."""
    shown = []
    for picture in sorted(Path(block_vars["src_file"]).parent.glob("*.png"), key=os.path.getmtime):
        place = next(block_vars["image_path_iterator"])
        shutil.move(picture, place)
        shown.append(place)
    return str(figure_rst(shown, gallery_conf["src_dir"]))


sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"\.py$",
    "within_subsection_order": "FileNameSortKey",
    "image_scrapers": (written_pictures, "matplotlib"),
    "abort_on_example_error": True,
    "capture_repr": (),
    "download_all_examples": False,
    "show_signature": False,
    "write_computation_times": False,
    "min_reported_time": 1e9,
}

_BASES = ("sklearn.", "pyod.")


class CommandHelp(Directive):
    """``.. command:: fit``: what ``tollad fit --help`` prints."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        """Return the text as one block."""
        command: click.Command = main
        context = click.Context(main, info_name="tollad", terminal_width=88)
        for name in self.arguments[0].split():
            assert isinstance(command, click.Group)
            found = command.get_command(context, name)
            if found is None:
                raise self.error(f"there is no command {name!r}")
            command = found
            context = click.Context(command, info_name=name, parent=context, terminal_width=88)
        text = command.get_help(context)
        return [nodes.literal_block(text, text, language="none")]


def visit_math(self: HTML5Translator, node: nodes.math) -> None:
    """Write a formula within a sentence as MathML, which browsers show without a script."""
    self.body.append(convert(node.astext()))
    raise nodes.SkipNode


def visit_displaymath(self: HTML5Translator, node: nodes.math_block) -> None:
    """Write a formula on lines of its own, with its number if it has one."""
    number = get_node_equation_number(self, node) if node["number"] else ""
    self.body.append(self.starttag(node, "div", CLASS="math"))
    self.body.append(convert(node.astext(), display="block"))
    self.body.append(f'<span class="eqno">({number})</span></div>' if number else "</div>")
    raise nodes.SkipNode


def skip_foreign(app: Sphinx, what: str, name: str, obj: Any, skip: bool, options: Any) -> bool | None:
    """Leave out what scikit-learn adds to a class of ours: it is documented there."""
    routed = name.startswith("set_") and name.endswith("_request")
    foreign = str(getattr(obj, "__module__", "")).startswith(_BASES)
    return True if routed or foreign else None


def escape(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Keep a shape, (n, *shape), from beginning an emphasis, and a name that ends in _ from being a link."""
    for i, line in enumerate(lines):
        parts = line.split("``")
        parts[::2] = [re.sub(r"(?<=, )\*(?=\w)|(?<=\w)_(?=[\"),])", r"\\\g<0>", part) for part in parts[::2]]
        lines[i] = "``".join(parts)


def check_name(app: Sphinx, env: BuildEnvironment, node: addnodes.pending_xref, contnode: nodes.Element) -> Any:
    """Show a name of ours that has no entry as it is, if it exists; let Sphinx warn of it, if not."""
    target = str(node.get("reftarget", ""))
    return contnode if target.startswith("tollad.") and exists(target) else None


def exists(name: str) -> bool:
    """Tell whether a dotted name leads to a module, or to something in one."""
    path, rest = name.split("."), list[str]()
    while path:
        try:
            found: Any = importlib.import_module(".".join(path))
        except ModuleNotFoundError:
            rest.insert(0, path.pop())
            continue
        for part in rest:
            if not hasattr(found, part) and part not in getattr(found, "__annotations__", {}):
                return False
            found = getattr(found, part, None)
        return True
    return False


def setup(app: Sphinx) -> None:
    """Add what is above."""
    app.add_directive("command", CommandHelp)
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_displaymath, None))
    app.connect("autodoc-skip-member", skip_foreign)
    app.connect("autodoc-process-docstring", escape, priority=100)
    app.connect("missing-reference", check_name)
