"""What every method is: something that is fitted on normal samples and then scores any."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Protocol, Self, cast, runtime_checkable

import numpy as np
from numpy.typing import NDArray


@runtime_checkable
class Method(Protocol):
    """A method: a dataclass whose fields are its recipe, and which has these members.

    A new method is one such class in a file of its own in this folder. `tollad.methods.find` finds it by the name of
    the class, and a table of `tollad.bench` runs it by ``baseline = { method = "<name>" }``, which may set any field.
    `tollad.methods.base.Comparator` and, for what learns weights, `tollad.methods.neural.Neural` have all members but a
    method's own part.

    Attributes
    ----------
    title : str
        Of the class: what a table calls the method.
    seed : int
        A field: everything random follows from it. The same seed gives the same bits; the global states of torch and
        NumPy are never touched.

    Notes
    -----
    - **Recipe.** Fields are plain values (numbers, text, tuples, None), the published ones by default, and are checked
      when the object is made: ValueError.
    - **Selection.** A method knows no label. Who does, passes `watch` to `fit`, scores there by `anomaly_score` as the
      method is just then, and keeps its `state` when that was the best so far; `load_state` brings it back at the end.
      Without `watch` the last step is all that counts.
    - **Stacking.** A method of which several are trained together at little more cost than one has a class method
      ``stacked(members, shape, device)``, as `tollad.methods.TargetedCollapse` does.
    - **Time.** What `watch` raises ends the fit; with a `checkpoint` the same call goes on from the last saved state,
      to the same bits.
    - **Failures.** A loss or a score that is no longer finite is a FloatingPointError that names the step; samples
      that the method cannot take are a ValueError; what memory would not hold is a MemoryError before the first step.
    - **Scores** are finite, and depend on nothing but the sample: not on those that come with it.
    """

    title: ClassVar[str]
    seed: int

    def fit(
        self,
        X: NDArray[Any],
        *,
        watch: Callable[[int], None] | None = None,
        n_watches: int = 0,
        checkpoint: str | os.PathLike[str] | None = None,
    ) -> Self:
        """Learn what is normal.

        Parameters
        ----------
        X : ndarray, (n, d) or (n, channels, height, width)
            Normal samples; never changed.
        watch : callable, optional
            Called with the number of steps done, `n_watches` times on the way and at the end; by a method without
            steps never.
        n_watches : int
            How often.
        checkpoint : path, optional
            File in which the state of the training is kept; a method without steps ignores it.
        """
        ...

    def anomaly_score(self, X: NDArray[Any]) -> NDArray[np.float64]:
        """Return the anomaly score of each sample, (n,), high = anomalous."""
        ...

    def state(self) -> dict[str, NDArray[Any]]:
        """Return a copy of all that was fitted."""
        ...

    def load_state(self, state: Mapping[str, NDArray[Any]], shape: tuple[int, ...] | None = None) -> None:
        """Become what `state` was taken of."""
        ...


def recipe_of(method: Method) -> dict[str, Any]:
    """Return the recipe of a method: its fields by name."""
    return {field.name: getattr(method, field.name) for field in dataclasses.fields(cast(Any, method))}
