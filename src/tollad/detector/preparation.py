"""Preparation: rows of the user become inputs of the network, and reconstructions become rows again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tollad.detector.whitening import Whitening
from tollad.method.traits import Traits
from tollad.tables.features import Features, Preprocess
from tollad.tables.fit_features import fit_features
from tollad.tables.large import LargeRows, Rows, as_large, in_blocks
from tollad.tables.schema import Encoding
from tollad.tables.units import are_few_in_one_unit


@dataclass(frozen=True, eq=False)
class Preparation:
    """The preprocessing, learnt from the training rows.

    It takes rows as `tollad.tables.rows.check_rows` returns them: numbers, those of a frame of mixed columns encoded.

    Attributes
    ----------
    features : tollad.tables.features.Features
        The constants of the preprocessing.
    names : tuple of str
        Of the columns of the rows, or of the channels of images and series.
    encoding : tollad.tables.schema.Encoding or None
        Which columns encode which, if the rows were a frame of mixed columns.
    n_axes : {1, 2, 3} or None
        Number of axes of a row in the network, see `tollad.method.traits.Traits`.
    n_members : int
        Number of members in the stack; they take the views of the features in turn.
    whitening : Whitening or None
        What is done to inputs after the features, for few rows of many columns of one unit. It is symmetric, so a
        whitened number counts as one of its column.
    """

    features: Features
    names: tuple[str, ...]
    encoding: Encoding | None
    n_axes: int | None
    n_members: int
    whitening: Whitening | None = None

    @classmethod
    def learn(
        cls,
        rows: Rows,
        *,
        preprocess: Preprocess,
        names: Sequence[str],
        encoding: Encoding | None,
        traits: Traits,
        n_members: int,
        arcsinh: bool,
        n_channels: int | None = None,
    ) -> Preparation:
        """Learn the preparation from training rows, see `tollad.tables.fit_features.fit_features`."""
        shaped = with_channels(rows, traits.n_axes)
        columns, indicator = (names, None) if encoding is None else (encoding.names, encoding.indicator)
        numbers = preprocess == "auto" and encoding is None and n_channels is None
        few = numbers and are_few_in_one_unit(shaped)
        features = fit_features(
            shaped,
            preprocess,
            columns,
            indicator=indicator,
            arcsinh=arcsinh,
            n_channels=n_channels,
            in_one_unit=few,
        )
        whitening = _fit_whitening(features, shaped) if few else None
        return cls(features, tuple(names), encoding, traits.n_axes, n_members, whitening)

    @property
    def views_of_members(self) -> list[int]:
        """Which view of the features each member takes."""
        n_views = self.features.n_views
        return [member % n_views for member in range(self.n_members)]

    def views(self, rows: NDArray[Any]) -> NDArray[np.float64]:
        """Return each view of rows in the shape that the network takes: (n, ...) to (n_views, n, *shape)."""
        views = self.features.transform(add_channels(rows, self.n_axes))
        if self.whitening is not None:
            views = self.whitening(views[0])[None]
        return views.reshape(*views.shape[:2], -1) if self.n_axes == 1 else views

    def __call__(self, rows: NDArray[Any]) -> NDArray[np.float64]:
        """Return what each member takes: (n, ...) to (M, n, *shape), or (1, n, *shape) if all take the same."""
        views = self.views(rows)
        return views if len(views) in (1, self.n_members) else views[self.views_of_members]

    def input_shape(self, row_shape: Sequence[int]) -> tuple[int, ...]:
        """Return the shape that the network takes for rows of one shape."""
        shape = row_shape if self.encoding is None else (len(self.encoding.names),)
        return self.views(np.zeros((1, *shape))).shape[2:]

    def reconstructed(self, x_hat: NDArray[np.float64], rows: NDArray[Any]) -> NDArray[np.float64]:
        """Return the mean of the members' reconstructions, (M, n, *shape), in the shape and units of the rows."""
        shape = add_channels(rows, self.n_axes).shape if rows.ndim > 2 else x_hat.shape[1:]
        if self.whitening is not None:
            x_hat = np.stack([self.whitening.inverse(outputs) for outputs in x_hat])
        members = [
            self.features.inverse(outputs.reshape(shape), view)
            for outputs, view in zip(x_hat, self.views_of_members, strict=True)
        ]
        return np.mean(members, axis=0).reshape(rows.shape)

    @property
    def origin(self) -> NDArray[np.int64]:
        """The number of the user's column of each input of the network; flags of missing values are inputs, too."""
        n_columns = len(self.features.fill)
        origin = np.arange(n_columns) if self.encoding is None else np.asarray(self.encoding.origin)
        return np.concatenate([origin, origin[self.features.flagged]])

    def warn_of_new_gaps(self, rows: NDArray[Any], given: object) -> None:
        """Warn of missing values in columns that had none among the training rows; `given` is what the user gave."""
        seen = as_large(rows, given)
        if any(np.isnan(block).any() for block in in_blocks(seen)):
            self.features.warn_unflagged(seen, self.names if self.encoding is None else self.encoding.names)


def _fit_whitening(features: Features, rows: Rows) -> Whitening:
    """Fit a whitening, of standard deviation about 1, to the only view of rows."""
    view = np.concatenate([features.transform(block)[0] for block in in_blocks(rows)])
    return Whitening.fit(view).scaled(np.sqrt(view.shape[1]))


def with_channels(rows: Rows, n_axes: int | None) -> Rows:
    """Return rows, in memory or beyond it, with a channel axis, see `add_channels`."""
    add = partial(add_channels, n_axes=n_axes)
    return rows.changed(add) if isinstance(rows, LargeRows) else add(rows)


def add_channels(rows: NDArray[Any], n_axes: int | None) -> NDArray[Any]:
    """Return rows with a channel axis: 3-d rows are grey images (n, H, W), unless networks take series, (n, C, T)."""
    return rows[:, None] if rows.ndim == 3 and n_axes != 2 else rows
