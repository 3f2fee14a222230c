"""The base of the methods: parameters as data, checked rows, files."""

from __future__ import annotations

import dataclasses
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tollad.detector.fitting import all_or_nothing
from tollad.io import artifact
from tollad.methods import fields
from tollad.methods.scaling import Scaling
from tollad.tables.frames import as_rows, to_arrow
from tollad.training.build import need_memory
from tollad.warn import listed

Arrays: TypeAlias = dict[str, NDArray[Any]]

# The square of a larger value may overflow in a sum of squares.
_LARGEST = 1e150

# Rows are scaled in double precision, and networks take them in single precision.
_BYTES_OF_A_VALUE = 8 + 4


class Watched(NamedTuple):
    """The arguments of `fit` for the time during a training."""

    call: Callable[[int], None] | None = None
    times: int = 0
    checkpoint: str | os.PathLike[str] | None = None


@dataclass(kw_only=True, eq=False)
class Comparator(ABC):
    """A method of the paper's tables. Its dataclass fields are its parameters.

    Parameters
    ----------
    scale : str
        How rows are scaled, see `tollad.methods.scaling.Scaling`.
    seed : int, 0 <= seed < 2**32
        Seed of all random numbers: initial weights, batches, noise.
    """

    scale: str = "none"
    seed: int = 0

    title: ClassVar[str]
    """The name of the method in tables."""

    def __post_init__(self) -> None:
        fields.check(self)
        Scaling(self.scale)
        self._names: list[str] | None = None

    def fit(
        self,
        X: NDArray[Any],
        *,
        watch: Callable[[int], None] | None = None,
        n_watches: int = 0,
        checkpoint: str | os.PathLike[str] | None = None,
    ) -> Self:
        """Fit to normal rows.

        Parameters
        ----------
        X : array-like or frame of numbers, (n, d), or ndarray, (n, channels, height, width)
            Finite numbers; images with values from 0 to 255. Later frames must have the columns of this one.
        watch : callable, optional
            Called with the number of steps done, `n_watches` times during the last phase of a training and at its end;
            the method can score then, and `state` is that of this step. Methods without steps never call it.
        n_watches : int
            How often `watch` is called.
        checkpoint : path, optional
            File to which the state of the training is saved about every second, and from which the same fit goes on.
            Methods without steps ignore it.

        Raises
        ------
        ValueError, TypeError
            If the rows do not suit the method. A fit that fails or is interrupted changes nothing.
        FloatingPointError
            When a loss is no longer a finite number.
        MemoryError
            If memory is too small for the scaled rows, or for the weights with their gradients and moments.
        """
        fields.check(self)
        rows, names = _numbers(X, "fit")
        if rows.dtype.kind == "f" and max(float(rows.max()), -float(rows.min())) > _LARGEST:
            raise ValueError(f"the rows to fit hold values beyond {_LARGEST:g}, whose squares overflow; scale them")
        need_memory(_BYTES_OF_A_VALUE * rows.size, f"to fit {self.title}, these rows need", "give fewer of them")
        with all_or_nothing(self):
            self._shape, self._names = rows.shape[1:], names
            self._scaling = Scaling(self.scale).fit(rows)
            self._fit(self._scaling(rows), Watched(watch, n_watches, checkpoint))
        return self

    def anomaly_score(self, X: NDArray[Any]) -> NDArray[np.float64]:
        """Return the anomaly score of each row: (n,), high = anomalous. It depends on the row only.

        Parameters
        ----------
        X : array-like, (n, *shape)
            Rows of the shape of the training rows.

        Raises
        ------
        ValueError, TypeError
            If the method is not fitted, or the rows are of another shape, have other columns or are not finite.
        """
        self._need_fitted()
        rows, names = _numbers(X, "score")
        if rows.shape[1:] != self._shape:
            raise ValueError(f"the method was fitted to rows of shape {self._shape}, not {rows.shape[1:]}")
        if self._names is not None and names is not None and names != self._names:
            raise ValueError(
                f"the columns of the frame are called {listed(names, most=10)}, but those of the fit "
                f"{listed(self._names, most=10)}; give the same columns in the same order"
            )
        with np.errstate(over="ignore", invalid="ignore"):
            scores = self._score(self._scaling(rows))
        # The values of a row may be too large to compute with. No score is higher than that of such a row.
        return np.where(np.isnan(scores), np.inf, scores)

    def diagnose(self, X: NDArray[Any]) -> dict[str, float]:
        """Return measures by name that show faults of a training, such as a collapse; empty if there are none."""
        self._need_fitted()
        return self._diagnose(self._scaling(_numbers(X, "diagnose")[0]))

    def state(self) -> Arrays:
        """Return copies of all fitted arrays, for `load_state`."""
        self._need_fitted()
        arrays = {f"fitted.{name}": np.array(value) for name, value in self._fitted().items()}
        return {**arrays, **{f"scaling.{name}": value for name, value in self._scaling.state().items()}}

    def load_state(self, state: Mapping[str, NDArray[Any]], shape: tuple[int, ...] | None = None) -> None:
        """Restore a `state`. A method that is not fitted needs `shape`, that of a row."""
        if shape is not None:
            self._shape = shape
        scaling = {name.removeprefix("scaling."): value for name, value in state.items() if name.startswith("scaling.")}
        self._scaling = Scaling.from_state(self.scale, scaling)
        self._restore({name.removeprefix("fitted."): v for name, v in state.items() if name.startswith("fitted.")})

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted method as one file that holds numbers only. Errors as in `tollad.io.artifact.save`."""
        artifact.save(path, "model", *self.parts())

    def parts(self) -> tuple[dict[str, Any], Arrays]:
        """Return the fitted method as JSON values and arrays, for `of_parts`."""
        described = {
            "method": type(self).__name__,
            "parameters": {name: _plain(value) for name, value in dataclasses.asdict(self).items()},
        }
        arrays = self.state()
        return {**described, "shape": list(self._shape), "names": self._names}, arrays

    @classmethod
    def of_parts(cls, described: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Return a method from its `parts`. Parts that are not from a method raise errors of any kind."""
        method = cls(**{name: _frozen(value) for name, value in described["parameters"].items()})
        method.load_state(arrays, tuple(described["shape"]))
        method._names = described.get("names")  # older files have none
        return method

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a file written by `save`.

        Raises
        ------
        ValueError
            If the file is damaged, or holds something other than this method.
        OSError
            If it cannot be read.
        """
        metadata, arrays = artifact.load(path, "model")
        if metadata.get("method") != cls.__name__:
            found = metadata.get("method", "a detector")
            raise ValueError(f"{os.fspath(path)} holds {found}, not {cls.__name__}")
        with artifact.understood(path):
            return cls.of_parts(metadata, arrays)

    def _need_fitted(self) -> None:
        if not hasattr(self, "_scaling"):
            raise ValueError(f"this {type(self).__name__} is not fitted yet; call fit first")

    @abstractmethod
    def _fit(self, rows: NDArray[np.float64], watched: Watched) -> None:
        """Fit to scaled rows."""

    @abstractmethod
    def _score(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Score scaled rows."""

    @abstractmethod
    def _fitted(self) -> Mapping[str, NDArray[Any]]:
        """Return the fitted arrays."""

    @abstractmethod
    def _restore(self, fitted: Mapping[str, NDArray[Any]]) -> None:
        """Restore what `_fitted` returned. `_shape` and `_scaling` are set before."""

    def _diagnose(self, rows: NDArray[np.float64]) -> dict[str, float]:
        return {}


@dataclass(kw_only=True, eq=False)
class OfArrays(Comparator):
    """A method whose fitted part is a few arrays, `_arrays`, which `_fit` sets."""

    def _fitted(self) -> Mapping[str, NDArray[Any]]:
        return self._arrays

    def _restore(self, fitted: Mapping[str, NDArray[Any]]) -> None:
        self._arrays: Arrays = dict(fitted)


def _numbers(X: Any, what: str) -> tuple[NDArray[Any], list[str] | None]:
    """Return rows as an array of finite numbers, and the names of the columns of a frame."""
    X = as_rows(X)
    table = to_arrow(X)
    if np.ma.is_masked(X):
        raise ValueError(f"the rows to {what} have masked values; fill or remove them")
    try:
        rows = np.asarray(X)
    except ValueError as error:
        raise ValueError(f"to {what}, give rows of one length, not lists of several lengths") from error
    if rows.dtype.kind in "OUSmM":
        raise ValueError(
            f"to {what}, give numbers only, not text, dates or objects; MethodDetector takes mixed columns, too"
        )
    if rows.ndim not in (2, 4) or not rows.size or rows.dtype.kind not in "fiub":
        raise ValueError(
            f"to {what}, give numbers of shape (n, columns) or (n, channels, height, width), each from 1 up, "
            f"not {rows.dtype} of shape {rows.shape}"
        )
    if rows.dtype.kind == "f" and not np.isfinite(rows).all():
        raise ValueError(f"the rows to {what} hold NaN or infinite values; fill or remove them")
    return rows, None if table is None else table.column_names


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
