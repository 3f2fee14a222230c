"""Former and public homes of modules: they import as the very modules that took their place.

A module that was divided becomes one with the public names of its parts.
"""

from __future__ import annotations

import importlib
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.abc import Loader

_COLUMNS = ("tables.schema", "tables.frames", "tables.survey", "tables.encode", "tables.decode", "tables.values")
HOMES: dict[str, str | tuple[str, ...]] = {
    "artifact": "io.artifact",
    "batches": "training.batches",
    "build": "training.build",
    "columns": _COLUMNS,
    "data": "datasets",
    "data.catalogue": "datasets.catalogue",
    "data.fetch": "datasets.fetch",
    "data.formats": "datasets.formats",
    "data.protocols": "bench.protocols",
    "explain": "detector.explain",
    "features": "tables.features",
    "figures": "plots.theory",
    "files": ("io.files", "io.packed"),
    "fitting": ("training.session", "training.fit", "training.outcome"),
    "mlflow": "serve.mlflow",
    "networks": "method.networks",
    "objective": "method.objective",
    "pyod": "detector.pyod",
    "ray": "scale.ray",
    "runtime": "serve.runtime",
    "scoring": "training.scoring",
    "settings": "detector.settings",
    "sources": "io.sources",
    "stack": "training.stack",
    "state": "detector.model",
    "streaming": "detector.streaming",
    "tables.columns": _COLUMNS,
    "sweep": "detector.sweep",
    "terms": "method.terms",
}


class Finder:
    """Finds ``tollad.terms`` in ``tollad.method.terms``.

    A finder and a loader without their base classes: importlib.abc would take half of the time of ``import tollad``.
    """

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return where a module of a former name is, None for all others."""
        known = fullname.startswith("tollad.") and fullname.removeprefix("tollad.") in HOMES
        return ModuleSpec(fullname, cast("Loader", self)) if known else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Return an empty module, which `exec_module` replaces."""
        return ModuleType(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Put the module of the new name in the place of the old one, or fill it with the names of several."""
        home = HOMES[module.__name__.removeprefix("tollad.")]
        if isinstance(home, str):
            sys.modules[module.__name__] = importlib.import_module(f"tollad.{home}")
            return
        for part in home:
            vars(module).update(public_names(importlib.import_module(f"tollad.{part}")))


def public_names(module: ModuleType) -> dict[str, object]:
    """Return what a module shows to others."""
    return {name: value for name, value in vars(module).items() if not name.startswith("_")}
