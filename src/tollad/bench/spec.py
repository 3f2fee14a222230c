"""The values that decide a result: of a run of the paper's method, a baseline, or a trial of another method.

The three have one interface, so that code that carries them out and reports them need not ask which one it has.

- ``identity``, ``kind``: results are found by these.
- ``role``: "own" for the paper's method, "reference" for a baseline of seconds, "compared" for a method that the paper
  compares with.
- ``stacks``: whether several are trained together.
- ``recipe``, ``budgets``: the values that may differ from the published recipe.
- ``judged_by``: the selection that is compared with the published value. The paper chose its own checkpoints by labels;
  the sources of the others, as far as is known, did not.
- ``unvaried``: values that follow from its one seed, so that a cell that varies them equals the cell without.
- ``of_cell``: makes one from a method and a cell of a table.
- ``cost``: the cost of a fit, in words.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self, TypeAlias, cast

from tollad import methods
from tollad.bench.recipes import BUDGETS, read_recipe
from tollad.bench.values import Values, digest, frozen_pairs, task_of
from tollad.methods import targeted
from tollad.methods.method import recipe_of
from tollad.methods.targeted import TargetedCollapse

RunPrecision: TypeAlias = Literal["float32", "tf32", "bf16"]
Role: TypeAlias = Literal["own", "reference", "compared"]
PRECISIONS: tuple[RunPrecision, ...] = ("float32", "tf32", "bf16")

# The fields of a run that belong to its method.
_OF_METHOD = (
    "network",
    "latent_dim",
    "hidden",
    "beta",
    "norm",
    "learning_rate",
    "batch_size",
    "steps",
    "seed",
    "batch_seed",
)
SHARED = ("protocol", "dataset", *targeted.SHARED, "validate_every", "precision")
"""The fields in which the runs of one stack agree."""
RECIPE = ("steps", "batch_size", "validate_every", "precision")
"""Fields in which a run may differ from the paper's recipe and still be compared with it, under a name that says so."""

# Part of every identity. It is raised when a change of the code changes the result of the same values.
_RECIPE = 1


@dataclass(frozen=True)
class Run(Values):
    """One training of one autoencoder on one task, measured with both selections.

    Attributes
    ----------
    protocol, dataset, normal, split_seed
        The task, see `tollad.bench.protocols.make_task`.
    network, latent_dim, hidden
        The autoencoder, see `tollad.method.networks`. `hidden` is None for the network's own widths.
    beta : float, >= 0
        Weight of the latent norm, in the loss and in the score.
    norm : str
        Penalty of the latent: a term of `tollad.method.terms` without "latent_".
    learning_rate : float, > 0
        Step size of Adam, constant.
    batch_size, steps : int, >= 1
        Rows in a step, and steps.
    validate_every : int, >= 1
        Steps between two measurements of the validation rows; divides `steps`.
    seed : int
        Seed of the initial weights.
    batch_seed : int
        Seed of the rows in the batches.
    precision : {"float32", "tf32", "bf16"}
        Of matrix products. Weights, losses and Adam are float32.

    Raises
    ------
    TypeError, ValueError
        For a value that no run can have.
    """

    kind: ClassVar[str] = "run"
    role: ClassVar[Role] = "own"
    unvaried: ClassVar[tuple[str, ...]] = ()
    stacks: ClassVar[bool] = True
    budgets: ClassVar[tuple[str, ...]] = BUDGETS[:1]
    judged_by: ClassVar[str] = "best_validation"

    protocol: str
    dataset: str
    network: str
    latent_dim: int
    beta: float
    learning_rate: float
    batch_size: int
    steps: int
    validate_every: int
    normal: int | None = None
    split_seed: int = 0
    hidden: tuple[int, ...] | None = None
    norm: str = "l2"
    seed: int = 0
    batch_seed: int = 0
    precision: RunPrecision = "float32"

    def __post_init__(self) -> None:
        method = self.method  # 10 and 10.0 are one run, and so are a list and a tuple
        for name in ("beta", "learning_rate", "hidden"):
            object.__setattr__(self, name, getattr(method, name))
        self.need(isinstance(self.split_seed, int) and self.split_seed >= 0, "split_seed", "an integer from 0 up")
        every = self.validate_every
        self.need(isinstance(every, int) and every >= 1, "validate_every", "an integer from 1 up")
        self.need(self.steps % every == 0, "steps", f"a multiple of {every}, validate_every")
        self.need(self.precision in PRECISIONS, "precision", f"one of {', '.join(PRECISIONS)}")

    @property
    def method(self) -> TargetedCollapse:
        """The method that is trained."""
        return TargetedCollapse(**{name: getattr(self, name) for name in _OF_METHOD})

    @property
    def alike(self) -> tuple[Any, ...]:
        """The values of `SHARED`."""
        return tuple(getattr(self, name) for name in SHARED)

    @property
    def recipe(self) -> tuple[Any, ...]:
        """The values of `RECIPE`."""
        return tuple(getattr(self, name) for name in RECIPE)

    @classmethod
    def of_cell(cls, cell: Mapping[str, Any], own: Mapping[str, Any], budget: str) -> Self:
        """Return the run of a method in one repetition of a cell of a table.

        Parameters
        ----------
        cell : mapping
            Values set by the table, the cell and the repetition.
        own : mapping
            Values set by the method.
        budget : str
            One of `budgets`.
        """
        return cls.from_values({**cell, **own})

    @classmethod
    def cost(cls, own: Mapping[str, Any], dataset: str) -> str:
        """Return the cost of a fit of a method of a table on a data set, in words."""
        return "run"

    @property
    def identity(self) -> str:
        """16 hex digits of the SHA-256 of all values.

        Two runs with one identity have the same result, up to rounding.
        """
        return digest({"recipe": _RECIPE, **dataclasses.asdict(self)})

    def __str__(self) -> str:
        return f"{self.task_name}, beta {self.beta:g}, seed {self.seed}"


@dataclass(frozen=True)
class Baseline(Values):
    """A method without training on a task, measured once: there is no seed.

    Attributes
    ----------
    protocol, dataset, normal, split_seed
        The task, as in `Run`.
    method : str
        A method of `tollad.methods.reference`, by its name in the first results.
    rows : {"raw", "preprocessed", "standardised"}
        Rows as in the files, as inputs of the network, or with each column standardised.
    n : int, optional
        Number of components or neighbours, for methods that have them.

    Raises
    ------
    TypeError, ValueError
        For a value that no baseline can have.
    """

    kind: ClassVar[str] = "baseline"
    role: ClassVar[Role] = "reference"
    unvaried: ClassVar[tuple[str, ...]] = ()
    stacks: ClassVar[bool] = False
    budgets: ClassVar[tuple[str, ...]] = BUDGETS[:1]
    judged_by: ClassVar[str] = "best_validation"
    precision: ClassVar[RunPrecision] = "float32"
    recipe: ClassVar[tuple[Any, ...]] = ()

    protocol: str
    dataset: str
    method: str
    rows: str
    n: int | None = None
    normal: int | None = None
    split_seed: int = 0

    def __post_init__(self) -> None:
        self.need(self.method in ("mean", "pca", "knn", "gradients"), "method", "mean, pca, knn or gradients")
        self.need(self.rows in ("raw", "preprocessed", "standardised"), "rows", "raw, preprocessed or standardised")
        takes_n = self.method in ("pca", "knn")
        self.need((self.n is not None) == takes_n, "n", f"{'given' if takes_n else 'left out'} for {self.method}")

    @property
    def identity(self) -> str:
        """16 hex digits, as in `Run`."""
        return digest({"recipe": _RECIPE, "kind": "baseline", **dataclasses.asdict(self)})

    @classmethod
    def of_cell(cls, cell: Mapping[str, Any], own: Mapping[str, Any], budget: str) -> Self:
        """Return the work of a method in one repetition of a cell of a table. Parameters as in `Run.of_cell`."""
        return cls.from_values({**task_of(cell), **own})

    @classmethod
    def cost(cls, own: Mapping[str, Any], dataset: str) -> str:
        """Return the cost of a fit, in words. Parameters as in `Run.cost`."""
        return "baseline, seconds"

    def __str__(self) -> str:
        return f"{self.task_name}, {self.method}{'' if self.n is None else f'-{self.n}'}, {self.rows}"


@dataclass(frozen=True)
class Trial(Values):
    """One fit of a method of `tollad.methods` on a task, measured with both selections.

    Attributes
    ----------
    protocol, dataset, normal, split_seed
        The task, as in `Run`.
    method : str
        A class of `tollad.methods`.
    settings : mapping, given; tuple of (name, value) pairs, kept
        Its fields by name. Those that are not given get their present defaults, which are kept. So after a default
        changes there is another trial, for which old results do not count.
    grid : mapping, given; tuple of (name, values) pairs, kept
        Fields and the values to try, for a method without steps. The values with the best validation metric give
        "best_validation"; "last" is measured with `settings`.
    seed : int
    n_watches : int
        How often the validation rows are scored during a fit.
    n_validation, n_test : int, optional
        Number of rows drawn at random, if scoring all would take too long.

    Raises
    ------
    TypeError, ValueError
        For a value that no trial can have.
    """

    kind: ClassVar[str] = "trial"
    role: ClassVar[Role] = "compared"
    unvaried: ClassVar[tuple[str, ...]] = ("batch_seed",)
    stacks: ClassVar[bool] = False
    budgets: ClassVar[tuple[str, ...]] = BUDGETS
    judged_by: ClassVar[str] = "last"
    precision: ClassVar[RunPrecision] = "float32"
    recipe: ClassVar[tuple[Any, ...]] = ()

    protocol: str
    dataset: str
    method: str
    settings: tuple[tuple[str, Any], ...] = ()
    grid: tuple[tuple[str, tuple[Any, ...]], ...] = ()
    normal: int | None = None
    split_seed: int = 0
    seed: int = 0
    n_watches: int = 20
    n_validation: int | None = None
    n_test: int | None = None

    def __post_init__(self) -> None:
        for name in ("settings", "grid"):
            given = getattr(self, name)
            object.__setattr__(self, name, frozen_pairs(given.items() if isinstance(given, Mapping) else given))
        for name in ("split_seed", "seed", "n_watches"):
            self.need(isinstance(getattr(self, name), int) and getattr(self, name) >= 0, name, "an integer from 0 up")
        whole = recipe_of(methods.make(self.method, **dict(self.settings), seed=self.seed))
        del whole["seed"]
        object.__setattr__(self, "settings", frozen_pairs(whole.items()))

    @property
    def identity(self) -> str:
        """16 hex digits, as in `Run`."""
        return digest({"recipe": _RECIPE, "kind": "trial", **dataclasses.asdict(self)})

    @classmethod
    def of_cell(cls, cell: Mapping[str, Any], own: Mapping[str, Any], budget: str) -> Self:
        """Return the work of a method in one repetition of a cell of a table. Parameters as in `Run.of_cell`.

        `own` names a "recipe" of `tollad.bench.recipes`, and the fields that differ from it.
        """
        task = task_of(cell)
        values = read_recipe(own["recipe"]).values(task["dataset"], budget)
        changed = {name: value for name, value in own.items() if name != "recipe"}
        settings = {**values.pop("settings"), **changed}
        return cls.from_values({**task, "seed": cell.get("seed", 0), **values, "settings": settings})

    @classmethod
    def cost(cls, own: Mapping[str, Any], dataset: str) -> str:
        """Return the cost of a fit by each budget, in words. Parameters as in `Run.cost`."""
        minutes = {budget: read_recipe(own["recipe"]).minutes(dataset, budget) for budget in cls.budgets}
        return ", ".join(f"{budget} {'?' if spent is None else f'{spent:g}'} min" for budget, spent in minutes.items())

    def __str__(self) -> str:
        return f"{self.task_name}, {self.method}, seed {self.seed}"


Work: TypeAlias = Run | Baseline | Trial
"""Anything that can be carried out, see the head of this module."""

WORK_KINDS: dict[str, type[Run] | type[Baseline] | type[Trial]] = {kind.kind: kind for kind in (Run, Baseline, Trial)}
"""The kinds of work by their names in results."""


def work_of(row: Mapping[str, Any]) -> Work:
    """Return the run, baseline or trial of a row of results.

    A field that was added to its class later has its default, which means what was done before.
    """
    return WORK_KINDS[row["kind"]].from_values(row["run"])


def role_of(row: Mapping[str, Any]) -> Role:
    """Return the role of the work of a row of results."""
    return WORK_KINDS[row["kind"]].role


def runs_of(work: Iterable[Work]) -> list[Run]:
    """Return the work that is trained in stacks."""
    return [cast(Run, item) for item in work if item.stacks]
