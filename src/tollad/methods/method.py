"""The protocol of methods, which are fitted on normal samples and then score any samples."""

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

    To add a method, put one such class into a file of its own in this folder. `tollad.methods.find` finds it by the
    name of the class, and a table of `tollad.bench` runs it by ``trial = { recipe = "<file>" }``, a file in
    `bench/recipes`. The base classes `tollad.methods.base.Comparator` and, for methods that learn weights,
    `tollad.methods.neural.Neural` have all members except the method's own part.

    Attributes
    ----------
    title : str
        Attribute of the class: the name of the method in tables.
    seed : int
        Field: all random numbers follow from it. The same seed gives the same bits. The global random states of torch
        and NumPy are never touched.

    Notes
    -----
    - **Recipe.** Fields are plain values (numbers, text, tuples, None), the published ones by default, and are checked
      when the object is made: ValueError.
    - **Selection.** A method knows no label. A caller with labels passes `watch` to `fit`. In `watch` it scores by
      `anomaly_score`, and keeps the `state` if that is the best so far; at the end `load_state` restores it. Without
      `watch`, the last step is the result.
    - **Stacking.** If several methods can be trained together at little more cost than one, the class has a class
      method ``stacked(members, shape, device)``, as `tollad.methods.TargetedCollapse` does.
    - **Time.** An exception in `watch` ends the fit. With a `checkpoint`, the same call goes on from the last saved
      state, to the same bits.
    - **Failures.** A loss or a score that is no longer finite is a FloatingPointError that names the step; samples that
      the method cannot take are a ValueError; too little memory is a MemoryError before the first step.
    - **Scores** are finite, and depend on the sample only, not on other samples.

    Examples
    --------
    >>> from tollad.methods import DistanceToMean
    >>> isinstance(DistanceToMean(), Method)
    True
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
            Normal samples, which are not changed.
        watch : callable, optional
            Called with the number of steps done, `n_watches` times during the training and at its end. A method without
            steps never calls it.
        n_watches : int
            How often `watch` is called.
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
        """Restore a `state`."""
        ...


def recipe_of(method: Method) -> dict[str, Any]:
    """Return the recipe of a method: its fields by name."""
    return {field.name: getattr(method, field.name) for field in dataclasses.fields(cast(Any, method))}
