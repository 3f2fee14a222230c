"""TollDetector: targeted collapse as a scikit-learn estimator."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from numbers import Integral
from typing import Any, Literal, Self, TypeAlias

import numpy as np
import torch
from numpy.random import RandomState, SeedSequence
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, OutlierMixin, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from tollad import calibration
from tollad.calibration import ThresholdRule
from tollad.detector.explain import Explanation, split_error, sum_groups
from tollad.detector.settings import TARGETS, Settings, check_network, check_parameters, check_real, resolve
from tollad.detector.state import State, as_json, load_state, save_state
from tollad.detector.wording import Wording
from tollad.io import artifact
from tollad.method import terms
from tollad.method.networks import traits_of
from tollad.method.objective import Objective
from tollad.method.traits import Builder, Traits
from tollad.tables.decode import decode, values_of
from tollad.tables.features import Preprocess, fit_features, mean_of_rows
from tollad.tables.frames import to_arrow
from tollad.tables.large import LargeRows, RowFile, Rows, as_large, in_blocks, take
from tollad.tables.rows import check_rows, divide, encoding_of, learn_rows, names_of
from tollad.tables.schema import Column
from tollad.training import scoring
from tollad.training.batches import Batches
from tollad.training.build import Modules, build_stack, custom_stack, find_device, find_saved_device, member_seeds
from tollad.training.checkpoint import Checkpoint
from tollad.training.large import HeldOutLater, PreparedLater
from tollad.training.loop import Precision
from tollad.training.session import fit, warn_if_collapsed
from tollad.training.stack import Stack

Auto: TypeAlias = Literal["auto"]

# Modules of the user draw from torch's global state: one fit at a time, or threads would draw from one another.
_GLOBAL_RANDOMNESS = threading.Lock()


class TollDetector(ClassNamePrefixFeaturesOutMixin, TransformerMixin, OutlierMixin, BaseEstimator):
    """Anomaly detection by targeted collapse.

    An autoencoder is trained on normal rows with the loss ``||x_hat - x||_2 + beta * ||z||_2`` (equation 2): it must
    describe a row, yet keep its latent ``z`` close to the origin. The same expression, not averaged, is the anomaly
    score of a row (equation 3).

    Parameters
    ----------
    beta : float >= 0 or "auto", default "auto"
        Weight of the latent norm against the reconstruction error, both in the units of the inputs that the network
        sees. 0 is the plain autoencoder. "auto" is 1.
    norm : {"l2", "l1", "linf", "squared_l2"}, default "l2"
        Penalty of the latent: a norm (Table 8), or any other term of `tollad.method.terms` that begins with "latent_".
    error : {"l2", "l1", "squared_l2"}, default "l2"
        Reconstruction error: the paper's norm, or another term of `tollad.method.terms`.
    target : {"origin", "mean"}, default "origin"
        What the latents collapse onto. "mean" is the mean latent of the normal rows (section 4.1): of the batch while
        training, of all training rows when scoring. It is meant for encoders that were trained before.
    latent_dim : int >= 1 or "auto", default "auto"
        Length of the latent. "auto" is 128 for the default network of tables, 64 for convolutions, and for "mlp" 16, or
        half the columns when they are fewer than 32.
    network : str, builder, nn.Module or (encoder, decoder), default "auto"
        Name of a builder in `tollad.method.networks`, or a builder of your own, ``(shape, latent_dim) -> module``; or
        modules, which are copied and start from the weights they have: one that returns ``(x_hat, z)``, so that it may
        have skip connections, or two, (B, *shape) -> (B, latent_dim) and back. `shape` is that of a row, with one
        channel before two axes, and a table has a column more for each with missing values. "auto" is "conv" for
        images, "mlp_layernorm" for tables, or "mlp" for tables when nothing is corrupted.
    hidden : sequence of int or "auto", default "auto"
        Widths from the input towards the latent, which is not among them; the decoder mirrors them. "auto" is the
        network's default, see `tollad.method.networks`.
    learning_rate : float > 0 or "auto", default "auto"
        Highest step size of Adam. With corruption it warms up and falls along a cosine, and "auto" is 2e-3; without it
        is constant, and "auto" is 1e-3.
    batch_size : int >= 2 or "auto", default "auto"
        Rows drawn, without replacement, for a step; at most all. "auto" is 128.
    steps : int >= 1 or "auto", default "auto"
        Updates (not epochs). "auto" is a few hundred with corruption, more without; `settings_` has the number.
    n_members : int >= 1 or "auto", default "auto"
        Models that differ in initial weights and batches, trained as one stack. Of several, each member's score is
        divided by its mean over the training rows, and the score is the mean. "auto" is 4 with corruption, else 1.
    corruption : {"auto", "mixed"} or None, default "auto"
        "mixed" is denoising collapse: the network is given a corrupted row, must return the clean one, and puts its
        latent as far from the target as the row was moved,
        ``||x_hat - x||_2 + beta * | ||z||_2 - ||x_corrupted - x||_2 |``. At a clean row, that is when scoring, this is
        equation 3 as it stands. None is the paper's loss. "auto" is "mixed" for tables and network "auto" or
        "mlp_layernorm", otherwise None; it decides what every other "auto" stands for.
    preprocess : {"auto", "standard"} or None, default "auto"
        "standard" subtracts the mean and divides by the standard deviation of the training rows, by column for tables
        and by channel otherwise, and clips at 50; "auto" does the same; None takes values as they are. Missing values
        in tables are always replaced by the training median and flagged in a column of their own.
    columns : mapping of str to {"number", "category", "date", "drop"}, optional
        Kinds of columns of a frame that should not be decided by their values, see `tollad.tables.survey.fit_columns`.
        All others are numbers, dates or categories by their type, and text by what all of its values are.
    contamination : float in (0, 0.5], default 0.1
        Share of the training rows that `predict` is to call anomalous; it decides `offset_`. The network has seen these
        rows, so more of new normal rows lie above: on small tables many more.
    false_alarm_rate : float in (0, 1), optional
        Share of new normal rows that `predict` may call anomalous. It wins over `contamination`: a fifth of the
        training rows, or as many as the rate needs, is held out, and the threshold is put on their scores
        (split-conformal). On average the promise holds for any rows that are exchangeable with those held out.
    early_stopping : bool, default False
        Hold out a tenth of the training rows, keep the weights with the lowest mean score on them, and stop when that
        has not improved for a tenth of the steps. No label is used: the rows held out are normal ones.
    precision : {"float32", "float64", "bf16"}, default "float32"
        Of the training; "bf16" is mixed precision and pays for convolutions.
    device : str or torch.device, default "auto"
        "auto" is the first of cuda, mps and cpu that is there.
    random_state : int, RandomState or None, default None
        Decides initial weights, batches and held-out rows. An int gives the same bits on the same machine with the same
        number of threads; None takes fresh entropy. Global random states are never touched.
    verbose : int, default 0
        1 shows progress on standard error.

    Attributes
    ----------
    offset_ : float
        ``decision_function = score_samples - offset_``.
    threshold_rule_ : (str, float)
        What decided `offset_`: ``("contamination", share)``, ``("false_alarm_rate", rate)``, ``("tail", rate)`` if the
        rate is extrapolated beyond the calibration rows, or ``("anomaly_score", score)``.
    training_scores_ : ndarray of float64, (n,)
        Anomaly scores of the training rows.
    settings_ : tollad.detector.settings.Settings
        The parameters with "auto" replaced.
    history_ : tollad.training.session.History
        Losses on the way.
    stack_ : tollad.training.stack.Stack
        The trained members; ``stack_[0]`` is the first as a torch module. Weights of convolutions over images may lie
        channels last: call ``.contiguous()`` before what takes a ``.view()``.
    calibration_scores_ : ndarray of float64
        Anomaly scores of the rows held out, in ascending order. Only with `false_alarm_rate` or after `calibrate`.
    columns_ : list of tollad.tables.schema.Column
        What was decided of each column. Only for frames with columns that are not all numbers.
    features_ : tollad.tables.features.Features
        The constants of the preprocessing.
    notes_ : dict of str to JSON values
        What was saved with the model as `notes`; empty after a fit.
    n_steps_ : int
        Updates so far, `partial_fit` included.
    input_shape_ : tuple of int
        Shape of a row.
    n_features_in_ : int
        ``input_shape_[0]``.
    feature_names_in_ : ndarray of str, (n_features_in_,)
        Only when the training rows had column names.

    Examples
    --------
    >>> import numpy as np
    >>> normal = np.random.default_rng(0).normal(size=(500, 4))
    >>> detector = TollDetector(steps=200, random_state=0).fit(normal)
    >>> detector.predict([[0.0, 0.0, 0.0, 0.0], [9.0, -9.0, 9.0, -9.0]])
    array([ 1, -1])
    """

    columns_: list[Column]
    notes_: dict[str, Any]
    threshold_rule_: tuple[ThresholdRule, float]
    training_scores_: NDArray[np.float64]
    calibration_scores_: NDArray[np.float64]

    def __init__(
        self,
        *,
        beta: float | Auto = "auto",
        norm: str = "l2",
        error: str = "l2",
        target: Literal["origin", "mean"] = "origin",
        latent_dim: int | Auto = "auto",
        network: str | Builder | Modules = "auto",
        hidden: Sequence[int] | Auto = "auto",
        learning_rate: float | Auto = "auto",
        batch_size: int | Auto = "auto",
        steps: int | Auto = "auto",
        n_members: int | Auto = "auto",
        corruption: Literal["auto", "mixed"] | None = "auto",
        preprocess: Preprocess = "auto",
        columns: Mapping[str, str] | None = None,
        contamination: float = 0.1,
        false_alarm_rate: float | None = None,
        early_stopping: bool = False,
        precision: Precision = "float32",
        device: str | torch.device = "auto",
        random_state: int | RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        self.beta = beta
        self.norm = norm
        self.error = error
        self.target = target
        self.latent_dim = latent_dim
        self.network = network
        self.hidden = hidden
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.steps = steps
        self.n_members = n_members
        self.corruption = corruption
        self.preprocess = preprocess
        self.columns = columns
        self.contamination = contamination
        self.false_alarm_rate = false_alarm_rate
        self.early_stopping = early_stopping
        self.precision = precision
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def fit(
        self, X: ArrayLike | LargeRows, y: object = None, *, checkpoint: str | os.PathLike[str] | None = None
    ) -> Self:
        """Learn what is normal.

        Parameters
        ----------
        X : array-like, (n, d), (n, H, W), (n, C, H, W), or (n, C, T) for ``network="conv1d"``
            Normal rows, at least two. Tables may have missing values (NaN). Of a `numpy.memmap` over 256 MiB no more is
            read into memory than is needed at a time.
        y : ignored
        checkpoint : path, optional
            A file to keep the state of the training in, replaced about every second and on Ctrl-C. The same call made
            again goes on from it to the scores that an uninterrupted fit gives, and returns at once when it is done.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            For parameters out of range, infinite values, columns without a value, or a checkpoint of another fit.
        FloatingPointError
            When the loss is no longer finite.
        """
        check_parameters(self.get_params())
        if checkpoint is not None and not isinstance(self.random_state, Integral):
            raise ValueError("a checkpoint needs random_state=<an integer>: otherwise every fit is another one")
        device = find_device(self.device)
        with self._all_or_nothing():
            return self._fit(X, device, checkpoint)

    def _fit(self, X: ArrayLike | LargeRows, device: torch.device, checkpoint: str | os.PathLike[str] | None) -> Self:
        self._seed = _draw_seed(self.random_state)
        rows, held = learn_rows(self, X, self._held_out)
        with_channels = partial(_with_channels, series=traits_of(self.network).n_axes == 2)
        shaped = rows.changed(with_channels) if isinstance(rows, LargeRows) else with_channels(rows)
        settings = resolve(self.get_params(), shaped.shape[1:], len(rows))
        arcsinh = settings.corruption is not None and settings.n_members > 1
        encoded = encoding_of(self)
        names, indicator = (names_of(self), None) if encoded is None else (encoded.names, encoded.indicator)
        self.features_ = fit_features(shaped, self.preprocess, names, indicator=indicator, arcsinh=arcsinh)
        self.settings_ = settings
        self.notes_ = {}
        self.n_steps_ = 0
        self.stack_ = self._build(device)
        self.objective_ = _objective(settings)
        guard = None if checkpoint is None else Checkpoint(checkpoint, self._identity(rows))
        return self._train(rows, held, guard)

    def partial_fit(self, X: ArrayLike, y: object = None) -> Self:
        """Go on training with new normal rows; the first call is `fit`.

        Later calls keep the preprocessing and the parameters of the first (`settings_`), whatever `set_params` says
        meanwhile: they make as many updates again with the new rows. `contamination` or `false_alarm_rate`, as they are
        now, put the threshold by the new rows. After an error the detector is as it was.

        Parameters
        ----------
        X : array-like
            Normal rows, at least two, shaped as in `fit`.
        y : ignored

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            As of `fit`, and for rows of another shape or with other columns than those of the first call, or fewer
            rows than `early_stopping` or `false_alarm_rate` needs.
        FloatingPointError
            When the loss is no longer finite.
        """
        if not hasattr(self, "stack_"):
            return self.fit(X)
        check_parameters(self.get_params())
        rows = self._rows(X)
        with self._all_or_nothing():
            self.stack_ = self.stack_.to()
            return self._train(*divide(as_large(rows, X), self._held_out), None)

    def anomaly_score(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return a(x) of equation (3), in the units of the preprocessed inputs: (n,), high = anomalous.

        A row's score does not depend on the rows it comes with.
        """
        check_is_fitted(self)
        return self._score(self._rows(X))

    def score_samples(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return the negative of `anomaly_score`, as scikit-learn has it: (n,), low = anomalous."""
        return -self.anomaly_score(X)

    def decision_function(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return ``score_samples(X) - offset_``: (n,), negative = anomalous."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: ArrayLike) -> NDArray[np.int64]:
        """Return -1 for anomalies and +1 for normal rows: (n,)."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def transform(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return the latents, (n, latent_dim), or those of all members side by side, (n, n_members * latent_dim)."""
        check_is_fitted(self)
        latents = scoring.encode(self._scorer, self._rows(X), self._prepare)
        return latents.reshape(len(latents), -1)

    def reconstruct(self, X: ArrayLike) -> NDArray[Any]:
        """Return what the network makes of the rows, in their own shape and units; the mean over the members.

        Of a frame with categories or dates it is an array of objects, see `tollad.tables.decode.decode`.
        """
        check_is_fitted(self)
        rows = self._reconstruct(self._rows(X))
        return decode(rows, self.columns_) if hasattr(self, "columns_") else rows

    def _reconstruct(self, rows: NDArray[Any]) -> NDArray[np.float64]:
        outputs = scoring.reconstruct(self._scorer, rows, self._prepare)
        shape = _with_channels(rows, series=self._traits.n_axes == 2).shape if rows.ndim > 2 else outputs[:, 0].shape
        views = self._views()
        members = [self.features_.inverse(outputs[:, m].reshape(shape), view) for m, view in enumerate(views)]
        return np.mean(members, axis=0).reshape(rows.shape)

    def explain(self, X: ArrayLike) -> Explanation:
        """Split the score of each row exactly: parts by column, pixel or time step, and the latent part.

        Parameters
        ----------
        X : array-like
            Rows shaped as in `fit`.

        Returns
        -------
        tollad.detector.explain.Explanation
        """
        check_is_fitted(self)
        rows = self._rows(X)
        weights = self._member_weights
        blocks = []
        for x, x_hat, z in scoring.run(self._scorer, rows, self._prepare):
            by_member = self.objective_(x, x_hat, z, center=self._center)
            error = Objective({self.settings_.error: 1.0})(x, x_hat, z)
            parts, latent = split_error(*(t.double().cpu().numpy() for t in (x, x_hat, by_member, error)))
            blocks.append((np.tensordot(weights, parts, 1), weights @ latent))
        parts, latent = (np.concatenate(part) for part in zip(*blocks, strict=True))
        seen: NDArray[Any] = rows
        expected: NDArray[Any] = self._reconstruct(rows)
        encoded, wording = encoding_of(self), None
        by_output = parts[:, : rows.shape[1]]
        if rows.ndim == 2:
            origin = np.arange(rows.shape[1]) if encoded is None else encoded.origin
            parts = sum_groups(parts, [*origin, *origin[self.features_.flagged]], self.n_features_in_)
        if encoded is not None:
            seen, decoded = values_of(to_arrow(X), self.columns_), decode(expected, self.columns_)
            wording, expected = Wording(self.columns_, rows, expected, by_output, seen, decoded), decoded
        scores = self._score(rows)
        return Explanation(tuple(names_of(self)), scores, parts.reshape(seen.shape), latent, seen, expected, wording)

    def p_value(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return the conformal p-value of each row, (n,): how often a normal row scores as high or higher.

        ``(1 + #{calibration scores >= score}) / (n_calibration + 1)``: of rows exchangeable with the calibration rows,
        a share of at most alpha has a p-value of at most alpha, whatever the data are.

        Raises
        ------
        ValueError
            Without calibration rows.
        """
        return calibration.p_values(self._calibration_scores(), self.anomaly_score(X))

    def alarms(self, X: ArrayLike, *, fdr: float = 0.05) -> NDArray[np.bool_]:
        """Return which rows of one batch to call anomalous so that few of them are false alarms.

        Parameters
        ----------
        X : array-like
            Rows shaped as in `fit`, tested together (Benjamini-Hochberg on conformal p-values).
        fdr : float in (0, 1), default 0.05
            False discovery rate: the share of normal rows to expect among the alarms, at most.

        Returns
        -------
        ndarray of bool, (n,)

        Raises
        ------
        ValueError
            For a rate out of range, or without calibration rows.
        """
        return calibration.benjamini_hochberg(self.p_value(X), fdr)

    def calibrate(self, X: ArrayLike, *, false_alarm_rate: float | None = None, tail: bool = False) -> Self:
        """Calibrate after the fact on normal rows that were not trained on.

        Parameters
        ----------
        X : array-like
            Normal rows, shaped as in `fit`; the rows of an earlier calibration are forgotten.
        false_alarm_rate : float in (0, 1), optional
            Puts the threshold, as in `set_threshold`; by default the parameter of this name, and if it is None the
            threshold stays.
        tail : bool, default False
            As in `set_threshold`.

        Raises
        ------
        ValueError
            If the rate needs more rows, or the rows are among those trained on.
        """
        rate = self.false_alarm_rate if false_alarm_rate is None else false_alarm_rate
        scores = np.sort(self.anomaly_score(X))
        if calibration.overlap(scores, self.training_scores_):
            raise ValueError(
                "calibration rows: more than half have exactly the score of a training row; "
                "give normal rows that were not trained on"
            )
        with self._all_or_nothing():
            self.calibration_scores_ = scores
            if rate is not None or tail:
                self.set_threshold(false_alarm_rate=rate, tail=tail)
        return self

    def set_threshold(
        self,
        *,
        contamination: float | None = None,
        false_alarm_rate: float | None = None,
        anomaly_score: float | None = None,
        tail: bool = False,
    ) -> Self:
        """Move the threshold without training. Give one of the first three.

        Parameters
        ----------
        contamination : float in (0, 0.5], optional
            Share of the training rows to be called anomalous, as in the parameter of this name, which it replaces.
        false_alarm_rate : float in (0, 1), optional
            Share of new normal rows to be called anomalous, at most and on average, by the calibration rows. It
            replaces the parameter of this name, unless `tail` is set.
        anomaly_score : float, optional
            Rows above this score are to be called anomalous.
        tail : bool, default False
            Whether to extrapolate beyond the n calibration rows, for a `false_alarm_rate` below 1 / (n + 1): an
            estimate and no promise, see `tollad.calibration.fit_tail`. `threshold_rule_` says so.

        Raises
        ------
        ValueError
            For a value out of range; for a rate without calibration rows, or one that needs more of them.
        """
        check_is_fitted(self)
        if tail and false_alarm_rate is None:
            raise ValueError("tail=True extrapolates a false-alarm rate; give false_alarm_rate")
        rules: dict[ThresholdRule, float | None] = {
            "contamination": contamination,
            "tail" if tail else "false_alarm_rate": false_alarm_rate,
            "anomaly_score": anomaly_score,
        }
        given = [(rule, value) for rule, value in rules.items() if value is not None]
        if len(given) != 1:
            raise ValueError("set_threshold needs either contamination or false_alarm_rate or anomaly_score")
        rule, value = given[0]
        self._put_threshold(rule, value)
        if rule in ("contamination", "false_alarm_rate"):
            setattr(self, rule, value)
        return self

    def _put_threshold(self, rule: ThresholdRule, value: float) -> None:
        if rule == "contamination":
            check_parameters({**self.get_params(), "contamination": value})
            self.offset_ = _offset(self.training_scores_, value)
        elif rule == "anomaly_score":
            check_real({rule: value}, rule)
            self.offset_ = -float(value)
        else:
            scores = self._calibration_scores()
            tail = calibration.fit_tail(scores) if rule == "tail" else None
            self.offset_ = -(tail.threshold(value) if tail else calibration.threshold(scores, value))
        self.threshold_rule_ = (rule, float(value))

    def save(
        self, path: str | os.PathLike[str], *, notes: Mapping[str, Any] | None = None, overwrite: bool = True
    ) -> None:
        """Write the fitted detector as one safe file: safetensors, nothing that runs code.

        Weights, constants and training scores are tensors; parameters, column names, threshold, versions and the
        training curve are one JSON text; a SHA-256 guards every byte. Modules of your own are saved as tensors only:
        `load` then needs the modules again.

        Parameters
        ----------
        path : path
        notes : mapping of JSON values, optional
            Kept with the model and found again as `notes_`: what the rows were, say. By default those that the detector
            was loaded with; ``{}`` for none.
        overwrite : bool, default True
            Whether an existing file may be replaced.

        Raises
        ------
        ValueError, TypeError
            If the notes hold something that JSON does not know, NaN or infinity among them, or take more than about 40
            MB as JSON; if parameters that were set after the fit are out of range, or `network` has become modules.
        OSError
            If the file cannot be written, or exists and `overwrite` is False. An older file is then as it was.
        """
        check_is_fitted(self)
        parameters = self.get_params()
        check_parameters(parameters)  # set_params may have changed what the file could not be loaded with
        if not isinstance(self.network, str) and self.settings_.network != "custom":
            raise ValueError(
                f"network was {self.settings_.network!r} at the fit and is now modules of your own; fit again, or set "
                "network back before saving"
            )
        parameters |= {"random_state": self._seed, "device": str(self.device)}
        if self.settings_.network == "custom":
            parameters["network"] = "custom"
        named_by_numbers = hasattr(self, "_numbered_names")
        names = self._numbered_names if named_by_numbers else getattr(self, "feature_names_in_", None)
        state = State(
            parameters={name: as_json(value) for name, value in parameters.items()},
            settings=self.settings_,
            input_shape=self.input_shape_,
            feature_names=None if names is None else [str(name) for name in names],
            named_by_numbers=named_by_numbers,
            columns=getattr(self, "columns_", None),
            offset=self.offset_,
            threshold_rule=self.threshold_rule_,
            n_steps=self.n_steps_,
            history=self.history_,
            notes=dict(self.notes_ if notes is None else notes),
            features=self.features_,
            weights={name: tensor.cpu().numpy() for name, tensor in self.stack_.state().items()},
            member_means=self._member_means,
            training_scores=self.training_scores_,
            calibration_scores=getattr(self, "calibration_scores_", None),
            center=None if self._center is None else self._center.cpu().numpy(),
        )
        save_state(path, state, overwrite=overwrite)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        device: str | torch.device | None = None,
        network: Builder | Modules | None = None,
    ) -> Self:
        """Read a detector written by `save`; it gives the same scores to the bit on the same machine.

        Parameters
        ----------
        path : path
        device : str or torch.device, optional
            Where to run; by default the parameter `device` of the saved detector, or the CPU with a warning if this
            machine has no such device.
        network : builder, nn.Module or (encoder, decoder), optional
            For a detector with a network of your own: one of the same architecture. Its weights are replaced.

        Raises
        ------
        ValueError
            If the file is no tollad model, is damaged or altered, or needs `network`.
        TypeError
            If `network` is neither a builder nor modules.
        OSError
            If the file cannot be read.
        """
        if network is not None:
            check_network(network)
            if isinstance(network, str):
                raise TypeError("network must be a builder or torch modules of your own; the file knows the names")
        state = load_state(path)
        parameters = dict(state.parameters)
        try:
            if parameters["network"] == "custom":
                if network is None:
                    raise ValueError(
                        f"{os.fspath(path)} holds weights of modules of your own; pass network=(encoder, decoder)"
                    )
                parameters["network"] = network
            elif network is not None:
                raise ValueError(f"{os.fspath(path)} holds network {parameters['network']!r}; load it without network=")
            parameters["device"] = find_saved_device(path, parameters["device"]) if device is None else device
            self = cls(**parameters)
            check_parameters(self.get_params())  # of which an older file may lack some
        except (KeyError, TypeError) as error:
            raise artifact.unknown(path, error) from error
        return self._restore(state)

    def _restore(self, state: State) -> Self:
        self.settings_ = state.settings
        self.input_shape_ = state.input_shape
        self.n_features_in_ = self.input_shape_[0]
        if state.named_by_numbers:
            self._numbered_names = state.feature_names
        elif state.feature_names is not None:
            self.feature_names_in_ = np.array(state.feature_names, dtype=object)
        if state.columns is not None:
            self.columns_ = state.columns
        if state.calibration_scores is not None:
            self.calibration_scores_ = state.calibration_scores
        self.offset_, self.threshold_rule_ = state.offset, state.threshold_rule
        self.n_steps_ = state.n_steps
        self.history_ = state.history
        self.notes_ = state.notes
        self.training_scores_, self._member_means = state.training_scores, state.member_means
        self._member_weights = _member_weights(self._member_means)
        self._seed = state.parameters["random_state"]
        self.features_ = state.features
        self.objective_ = _objective(self.settings_)
        place = find_device(self.device)
        self.stack_ = self._build(place).eval()
        self.stack_.load_state({name: torch.from_numpy(array) for name, array in state.weights.items()})
        self._center = None if state.center is None else torch.from_numpy(state.center).to(place)
        self._scorer = scoring.scoring_copy(self.stack_)
        return self

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.sparse = True
        return tags

    @property
    def _n_features_out(self) -> int:
        return len(self.stack_) * self.settings_.latent_dim

    def _rows(self, X: ArrayLike) -> NDArray[Any]:
        """Return rows as those of the fit, and warn of gaps that were none then."""
        rows = check_rows(self, X)
        seen = as_large(rows, X)
        if any(np.isnan(block).any() for block in in_blocks(seen)):
            encoded = encoding_of(self)
            self.features_.warn_unflagged(seen, names_of(self) if encoded is None else encoded.names)
        return rows

    def _held_out(self, n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
        """Return which of n rows to train on and, for a false-alarm rate, which to calibrate on; else None."""
        if self.false_alarm_rate is None:
            return None
        needed = calibration.rows_needed(self.false_alarm_rate)
        n_trained = max(2, needed)
        n_held_out = max(needed, n // 5)
        if n - n_held_out < n_trained:
            raise ValueError(
                f"false_alarm_rate={self.false_alarm_rate} needs {needed} calibration rows and {n_trained} to train "
                f"on, {needed + n_trained} in all; there are {n}"
            )
        order = np.random.default_rng([self._seed, 1]).permutation(n)
        return np.sort(order[n_held_out:]), np.sort(order[:n_held_out])

    def _calibration_scores(self) -> NDArray[np.float64]:
        check_is_fitted(self)
        if not hasattr(self, "calibration_scores_"):
            raise ValueError(
                "p-values and false-alarm rates need normal rows that were not trained on: set false_alarm_rate before "
                "the fit, or call calibrate(X_normal)"
            )
        return self.calibration_scores_

    def _views(self) -> list[int]:
        """Return which view of the features each member takes."""
        return [member % self.features_.n_views for member in range(self.settings_.n_members)]

    @property
    def _traits(self) -> Traits:
        """Of the network of the fit, whatever `set_params` says meanwhile."""
        name = self.settings_.network
        return traits_of(self.network if name == "custom" else name)

    def _prepare_views(self, rows: NDArray[Any]) -> NDArray[np.float64]:
        """Return each view of some rows in the shape that the network takes: (n_views, n, *shape)."""
        views = self.features_.transform(_with_channels(rows, series=self._traits.n_axes == 2))
        return views.reshape(*views.shape[:2], -1) if self._traits.n_axes == 1 else views

    def _prepare(self, rows: NDArray[Any]) -> NDArray[np.float64]:
        """Return what each member takes for some rows: (M, n, *shape), or (1, n, *shape) if all take the same."""
        views = self._prepare_views(rows)
        return views if len(views) == 1 else views[self._views()]

    def _build(self, device: torch.device) -> Stack:
        settings = self.settings_
        encoded = encoding_of(self)
        row = self.input_shape_ if encoded is None else (len(encoded.names),)
        shape = self._prepare_views(np.zeros((1, *row))).shape[2:]
        if isinstance(self.network, nn.Module | tuple):
            try:
                stack, latent_dim = custom_stack(self.network, shape, settings.n_members, device)
            except ValueError as error:
                if not len(self.features_.flagged):
                    raise
                added = len(self.features_.flagged)
                raise ValueError(f"{error} (of these columns {added} say where values are missing)") from error
            self.settings_ = replace(settings, latent_dim=latent_dim)
        else:
            network = self.network if settings.network == "custom" else settings.network
            seeds = [member_seeds(self._seed, member)[0] for member in range(settings.n_members)]
            latent_dim, hidden = settings.latent_dim, settings.hidden
            stack = build_stack(network, shape, latent_dim, hidden, seeds, settings.batch_size, device)
        dtype = torch.float64 if settings.precision == "float64" else torch.float32
        return stack if (stack.device, stack.dtype) == (device, dtype) else stack.to(device=device, dtype=dtype)

    def _batches(self, rows: Rows) -> Batches:
        settings = self.settings_
        seeds = [member_seeds(self._seed, member)[1] for member in range(settings.n_members)]
        corrupt = settings.corruption is not None
        if isinstance(rows, LargeRows):
            later = PreparedLater(rows, self._prepare_views, self._views(), self.stack_.device, self.stack_.dtype)
            return Batches(later, settings.batch_size, seeds, corrupt=corrupt)
        n, (n_views, _, *shape) = len(rows), self._prepare_views(rows[:1]).shape
        prepared = torch.empty(n_views, n, *shape, dtype=self.stack_.dtype, device=self.stack_.device)
        start = 0
        for block in in_blocks(rows):
            prepared[:, start : start + len(block)] = torch.tensor(self._prepare_views(block))
            start += len(block)
        subsets = None if n_views == 1 else [np.arange(view * n, (view + 1) * n) for view in self._views()]
        return Batches(prepared.flatten(0, 1), settings.batch_size, seeds, subsets, corrupt=corrupt)

    def _train(self, rows: Rows, held: Rows | None, checkpoint: Checkpoint | None) -> Self:
        settings = self.settings_
        trained, held_out = self._split(len(rows))
        batches = self._batches(rows if trained is None else take(rows, trained))

        def reseeded(step: int) -> tuple[Tensor, Tensor]:
            torch.manual_seed(member_seeds(self._seed, step)[0])
            return batches(step)

        with self._own_randomness():
            self.history_ = fit(
                self.stack_,
                self.objective_,
                reseeded if settings.network == "custom" else batches,
                steps=settings.steps,
                learning_rate=settings.learning_rate,
                schedule=settings.schedule,
                first_step=self.n_steps_,
                precision=settings.precision,
                held_out=None if held_out is None else self._prepared(take(rows, held_out)),
                checkpoint=checkpoint,
                verbose=self.verbose,
            )
        self.n_steps_ += self.history_.step[-1]
        self._scorer = scoring.scoring_copy(self.stack_)
        self._center = None
        if settings.target == "mean":
            self._center = scoring.mean_latent(self._scorer, rows, self._prepare)
        by_member = self._score_members(rows)
        self._member_means = mean_of_rows(by_member)
        self._member_weights = _member_weights(self._member_means)
        self.training_scores_ = self._joined(by_member)
        if hasattr(self, "calibration_scores_"):
            del self.calibration_scores_  # scores of other weights
        if held is not None and self.false_alarm_rate is not None:
            self.calibration_scores_ = np.sort(self._score(held))
            self._put_threshold("false_alarm_rate", self.false_alarm_rate)
        else:
            self._put_threshold("contamination", self.contamination)
        x, x_hat, _ = next(scoring.run(self._scorer, rows, self._prepare))
        warn_if_collapsed(x, x_hat)
        return self

    def _split(self, n_rows: int) -> tuple[NDArray[np.int64] | None, NDArray[np.int64] | None]:
        """Return which rows to train on, None for all, and for early stopping the tenth that is held out."""
        if not self.early_stopping:
            return None, None
        if n_rows < 3:
            raise ValueError(
                "early_stopping holds out a tenth of the rows and needs 3 or more; set early_stopping=False"
            )
        order = np.random.default_rng(self._seed).permutation(n_rows)
        n_held_out = max(1, n_rows // 10)
        return order[n_held_out:], order[:n_held_out]

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        """Leave the detector as it was when a fit fails or is interrupted."""
        before = dict(self.__dict__)
        try:
            yield
        except BaseException:
            self.__dict__ = before
            raise

    @contextmanager
    def _own_randomness(self) -> Iterator[None]:
        """Let modules of the user, which may hold dropout, draw from the seed; torch's global state stays as it was."""
        if self.settings_.network != "custom":
            yield
            return
        device = self.stack_.device
        with _GLOBAL_RANDOMNESS, torch.random.fork_rng([device] if device.type == "cuda" else []):
            yield

    def _prepared(self, rows: Rows) -> NDArray[np.float64] | HeldOutLater:
        return HeldOutLater(rows, self._prepare) if isinstance(rows, LargeRows) else self._prepare(rows)

    def _score(self, rows: Rows) -> NDArray[np.float64]:
        return self._joined(self._score_members(rows))

    def _score_members(self, rows: Rows) -> Rows:
        """Return the score of each row by each member, (n, M): beyond memory if the rows are."""
        score = partial(scoring.score, self._scorer, self.objective_, prepare=self._prepare, center=self._center)
        if not isinstance(rows, LargeRows):
            return score(rows)
        kept = RowFile(len(self.stack_), len(rows))
        for block in in_blocks(rows):
            kept.append(score(block))
        return LargeRows(kept)

    def _joined(self, by_member: Rows) -> NDArray[np.float64]:
        if not isinstance(by_member, LargeRows):
            return self._join(by_member)
        return np.concatenate([self._join(block) for block in in_blocks(by_member)])

    def _join(self, by_member: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return one score a row from those of the members, (n, M).

        Values that are taken as they are may be too large to square: such a row is as odd as a number can say.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            joined: NDArray[np.float64] = (by_member * self._member_weights).sum(1)
        most = np.finfo(np.float64).max
        return np.nan_to_num(joined, copy=False, nan=most, posinf=most)

    def _identity(self, rows: Rows) -> str:
        """Return a digest of everything that decides the outcome of a fit."""
        parameters = {name: as_json(value) for name, value in self.get_params().items() if name != "verbose"}
        decisive = {
            "parameters": parameters,
            "seed": self._seed,
            "names": list(names_of(self)),
            "shape": rows.shape,
            "type": str(rows.dtype),
        }
        digest = hashlib.sha256(json.dumps(decisive, sort_keys=True).encode())
        for block in in_blocks(rows):
            digest.update(np.ascontiguousarray(block).data)
        for name, tensor in self.stack_.state().items():
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(tensor.cpu()).data)
        return digest.hexdigest()


def _objective(settings: Settings) -> Objective:
    penalty = terms.latent_penalties()[settings.norm]
    return Objective({settings.error: 1.0, penalty: settings.beta}, TARGETS[settings.target])


def _member_weights(means: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return 1 for one member; of several, what makes the score the mean of each in units of its training mean."""
    return np.ones(1) if len(means) == 1 else 1 / (len(means) * np.where(means > 0, means, 1.0))


def _with_channels(rows: NDArray[Any], *, series: bool) -> NDArray[Any]:
    """Return rows with a channel axis: 3-d rows are grey images (n, H, W), unless they are series (n, C, T)."""
    return rows[:, None] if rows.ndim == 3 and not series else rows


def _offset(training_scores: NDArray[np.float64], contamination: float) -> float:
    """Return the offset that has ``round(contamination * n)`` of the training rows below it."""
    samples = -training_scores
    samples.sort()
    below = round(contamination * len(samples))
    # Half-way between two rows, so that the rounding of a score cannot move a training row across.
    return float((samples[below - 1] + samples[below]) / 2 if below else np.nextafter(samples[0], -np.inf))


def _draw_seed(random_state: Any) -> int:
    if random_state is None:
        return int(SeedSequence().generate_state(1, np.uint32)[0])
    if isinstance(random_state, RandomState):
        return int(random_state.randint(2**31))
    if not isinstance(random_state, Integral) or random_state < 0:
        raise ValueError(f"random_state must be an integer >= 0, a numpy RandomState or None, not {random_state!r}")
    return int(random_state)
