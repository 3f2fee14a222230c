"""Checks of the parts of a model file, each alone and against the others, before memory is allocated."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from tollad.detector.preparation import Preparation, add_channels
from tollad.detector.scorer import Scorer
from tollad.detector.settings import Settings, check_settings
from tollad.method import networks
from tollad.tables.features import Features
from tollad.tables.schema import CLOCKS, CYCLES, Column, Kind

Arrays = Mapping[str, NDArray[Any]]

# A file holds the scores of at most so many rows, and of one row only if more would have more values than this.
_N_ROWS, _MOST_VALUES = 64, 1 << 16
_TOLERANCE = 1e-9
# Convolutions have the fewest weights: with one channel, a twentieth of the values of a row.
_VALUES_A_WEIGHT = 64


def check_names(names: object, n_columns: int) -> None:
    """Raise ValueError unless names are a list of n texts."""
    if not isinstance(names, list) or len(names) != n_columns or not all(isinstance(name, str) for name in names):
        raise ValueError(f"no names of the {n_columns} columns of the rows")


def check_kept_columns(columns: Sequence[Column], n_columns: int) -> None:
    """Raise ValueError unless columns are valid: other modules rely on types and lengths of their fields."""
    check_names([column.name for column in columns], n_columns)
    for column in columns:
        known = (
            column.kind in get_args(Kind)
            and all(level is None or isinstance(level, str) for level in column.levels)
            and len(column.counts) == len(column.levels)
            and all(type(number) is int and number >= 0 for number in (*column.counts, column.unseen))
            and all(isinstance(day, float) and math.isfinite(day) for day in (column.first, column.median, column.last))
            and set(column.cycles) <= CYCLES.keys()
            and isinstance(column.zone, str | None)
            and all(type(minutes) is int for minutes in column.offsets)
            and isinstance(column.truths, bool)
            and isinstance(column.words, bool)
            and column.clock in (None, "", *CLOCKS)
        )
        if not known:
            raise ValueError(f"column {column.name!r:.60} is of an unknown kind")


def check_row_shape(shape: tuple[Any, ...], weights: Arrays | None) -> None:
    """Raise ValueError unless a shape is that of a row: (d,), (H, W), (C, T) or (C, H, W).

    A row has far fewer values than a named network has weights. Larger rows are refused before memory is allocated.
    """
    if not 1 <= len(shape) <= 3 or not all(type(side) is int and side > 0 for side in shape):
        raise ValueError(f"rows of shape {shape!r:.60}")
    if weights is not None and math.prod(shape) > _VALUES_A_WEIGHT * sum(array.size for array in weights.values()):
        raise ValueError(f"rows of shape {shape!r:.60}, for which it has too few weights")


def check_features(features: Features, row_shape: tuple[int, ...], n_columns: int) -> None:
    """Raise ValueError unless the constants are those of rows of this shape; a table has `n_columns` numbers."""
    for name, array in features.arrays().items():
        if array.dtype != (np.int64 if name == "flagged" else np.float64) or not np.isfinite(array).all():
            raise ValueError(f"features.{name} holds no finite numbers of its kind")
    is_table = len(row_shape) == 1
    width = n_columns if is_table else 0
    flagged = features.flagged
    if features.fill.shape != (width,) or flagged.ndim != 1 or not np.isin(flagged, np.arange(width)).all():
        raise ValueError("constants of other columns than those of the rows")
    if (np.diff(flagged) <= 0).any():
        raise ValueError("features.flagged does not ascend")
    known: set[tuple[int, ...]]
    if is_table:
        known = {(width + len(flagged),)}
    else:
        known = {(row_shape[0], 1, 1)} if len(row_shape) == 3 else {(1, 1, 1), (row_shape[0], 1)}  # images, or series
    for spread in (features.scale, features.arcsinh_scale, features.limit):
        if (spread <= 0).any():
            raise ValueError("a scale that is not above 0")
    pairs = ((features.mean, features.scale), (features.arcsinh_mean, features.arcsinh_scale))
    for mean, scale in pairs:
        if mean.shape != scale.shape or mean.shape not in {(0,), *known}:
            raise ValueError("constants of other columns than those of the rows")
    if features.limit.shape not in {(0,), *(known if is_table else ())} or len(features.mean) < len(features.limit):
        raise ValueError("constants of other columns than those of the rows")
    if len(features.arcsinh_mean) > (len(features.mean) if is_table else 0):
        raise ValueError("a second view without the first")


def check_whitening(constants: Arrays, features: Features) -> None:
    """Raise ValueError unless the constants are those of a whitening of the only view of a table."""
    wanted = {"mean": np.float64, "directions": np.float32, "gains": np.float64, "rest": np.float64}
    if constants.keys() != wanted.keys():
        raise ValueError("a whitening without its constants")
    mean, directions, gains, rest = (constants[name] for name in wanted)
    for name, dtype in wanted.items():
        if constants[name].dtype != dtype or not np.isfinite(constants[name]).all():
            raise ValueError(f"whitening.{name} holds no finite numbers of its kind")
    width = len(features.mean)
    if features.n_views != 1 or mean.shape != (width,) or gains.ndim != 1 or len(gains) > width or rest.shape != ():
        raise ValueError("a whitening of other columns than those of the rows")
    if directions.shape != (len(gains), width) or rest <= 0 or (gains + rest <= 0).any():
        raise ValueError("a whitening of other columns than those of the rows")


def check_weights(
    weights: Arrays, means: NDArray[Any], center: NDArray[Any] | None, settings: Settings, input_shape: tuple[int, ...]
) -> None:
    """Raise ValueError unless the weights are those of the network that the settings name.

    The network is built on the meta device, which allocates nothing, so that settings of any size are safe.
    """
    check_settings(settings)
    n_members, dtype = settings.n_members, np.float64 if settings.precision == "float64" else np.float32
    if means.dtype != np.float64 or means.shape != (n_members,) or not (np.isfinite(means) & (means >= 0)).all():
        raise ValueError(f"no means of {n_members} members")
    if (center is None) == (settings.target == "mean"):
        raise ValueError("a center of another target")
    if center is not None and not (center.shape[:1] == (n_members,) and center.ndim == 2 and np.isfinite(center).all()):
        raise ValueError(f"no center of {n_members} members")
    if settings.network == "custom":
        return
    if center is not None and center.shape[1] != settings.latent_dim:
        raise ValueError("a center of other latents")
    n_values = max((array.size for array in weights.values()), default=0)
    widths = (settings.latent_dim, *(settings.hidden or ()))
    if len(widths) > len(weights) or max(widths) > n_values:
        raise ValueError("layers that it has no weights for")
    options = {} if settings.hidden is None else {"hidden": settings.hidden}
    with torch.device("meta"):
        template = networks.find_builder(settings.network)(input_shape, settings.latent_dim, **options)
    wanted = {name: (n_members, *tensor.shape) for name, tensor in template.state_dict().items()}
    if wanted.keys() != weights.keys():
        raise ValueError(f"the weights of another network: {min(wanted.keys() ^ weights.keys())!r} is in one only")
    for name, tensor in template.state_dict().items():
        array = weights[name]
        if array.shape != wanted[name] or array.dtype != (dtype if tensor.is_floating_point() else np.int64):
            raise ValueError(f"the weights of another network: {name!r} is {array.dtype} {array.shape}")
        if not np.isfinite(array).all() or (name.endswith("running_var") and (array < 0).any()):
            raise ValueError(f"weights {name!r} that are no finite numbers, or variances below 0")


def check_nearest(kept: Arrays, n_seen: Any, row_shape: tuple[int, ...], n_views: int) -> None:
    """Raise ValueError unless kept training rows, mean distances, factors and reaches have their shapes and ranges."""
    rows, means, factors, reaches = (kept[name] for name in ("rows", "means", "factors", "reaches"))
    if rows.dtype != np.float64 or rows.shape[1:] != row_shape or np.isinf(rows).any():
        raise ValueError("kept rows of another shape or kind than the rows of the fit")
    if type(n_seen) is not int or not 0 < len(rows) <= n_seen:
        raise ValueError(f"kept rows of {n_seen!r:.40}")
    if means.dtype != np.float64 or means.shape != (n_views,) or not (np.isfinite(means) & (means > 0)).all():
        raise ValueError(f"no mean distances in {n_views} views")
    if (
        factors.dtype != np.float64
        or factors.shape != (n_views, len(rows))
        or not ((factors > 0) & (factors < 3)).all()
    ):
        raise ValueError("kept rows without factors")
    if reaches.dtype != np.float64 or reaches.shape != factors.shape or not ((reaches >= 0) & (reaches < np.inf)).all():
        raise ValueError("kept rows without reaches")


def rows_to_check(preparation: Preparation, row_shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return rows drawn around the means of the training rows, with growing spread: (k, ...).

    So every unit of a network is active in one of them. Rows of images and series are float32 numbers.
    """
    features, is_table = preparation.features, len(row_shape) == 1
    shape = (len(features.fill),) if is_table else row_shape
    n_rows = max(1, min(_N_ROWS, _MOST_VALUES // math.prod(shape)))
    spread = np.linspace(0.5, 4, n_rows).reshape(-1, *[1] * len(shape))
    drawn = np.random.default_rng(0).normal(size=(n_rows, *shape)) * spread
    if not is_table:
        rows = add_channels(drawn, preparation.n_axes)
        rows = rows * features.scale + features.mean if len(features.mean) else rows
        return rows.reshape(drawn.shape).astype(np.float32).astype(np.float64)
    table: NDArray[np.float64] = features.fill + drawn * (features.scale[: shape[0]] if len(features.scale) else 1.0)
    table[-1, ::2] = np.nan
    return table


def scores_in_double(scorer: Scorer, preparation: Preparation, rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the scores of rows in double precision, (k,), in which machines agree closely."""
    if scorer.in_double:
        return scorer.scores(rows, preparation)
    center = None if scorer.center is None else scorer.center.cpu().double()
    stack = scorer.stack if scorer.stack.device.type == "cpu" else scorer.stack.to(device="cpu").eval()
    return replace(scorer, stack=stack, center=center, doubled=True).scores(rows, preparation)


def check_scores(found: NDArray[np.float64], noted: NDArray[Any]) -> None:
    """Raise ValueError if the scores noted in a file are not those that its weights give."""
    if noted.shape != found.shape or not np.allclose(found, noted, rtol=_TOLERANCE, atol=0.0):
        raise ValueError("its weights and constants give other scores than it says they do")
