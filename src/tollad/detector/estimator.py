"""TollDetector: targeted collapse as a scikit-learn estimator."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Literal, Self, TypeAlias

import numpy as np
import torch
from numpy.random import RandomState
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, OutlierMixin, TransformerMixin
from sklearn.utils import Tags

from tollad.calibration import Decision
from tollad.detector import fitting
from tollad.detector.decisions import check_fitted
from tollad.detector.nearest import Nearest
from tollad.detector.parameters import check_parameters, documented
from tollad.detector.preparation import Preparation, with_channels
from tollad.detector.saving import Saving
from tollad.detector.scorer import Scorer
from tollad.detector.settings import Settings, resolve
from tollad.method.networks import traits_of
from tollad.method.traits import Builder
from tollad.tables.features import Preprocess, names_of
from tollad.tables.large import LargeRows, Rows, as_large
from tollad.tables.rows import Splitter, divide, encoding_of, learn_rows
from tollad.training.build import Modules, find_device
from tollad.training.checkpoint import Checkpoint
from tollad.training.loop import Precision
from tollad.training.outcome import warn_if_collapsed
from tollad.training.scoring import scoring_precision
from tollad.training.session import History
from tollad.training.stack import Stack

Auto: TypeAlias = Literal["auto"]


@documented
class TollDetector(Saving, ClassNamePrefixFeaturesOutMixin, TransformerMixin, OutlierMixin, BaseEstimator):
    """Anomaly detection by targeted collapse.

    An autoencoder is trained on normal rows with the loss ``||x_hat - x||_2 + beta * ||z||_2`` (equation 2): it must
    reconstruct a row and keep its latent ``z`` close to the origin. The same expression, not averaged, is the anomaly
    score of a row (equation 3).

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    settings_ : tollad.detector.settings.Settings
        The parameters with "auto" replaced.
    history_ : tollad.training.session.History
        Losses measured during the training.
    stack_ : tollad.training.stack.Stack
        The trained members; ``stack_[0]`` is the first as a torch module. Weights of convolutions over images may lie
        channels last: call ``.contiguous()`` before what takes a ``.view()``.
    decision_ : tollad.calibration.Decision
        The threshold, the rule that set it, and the scores from which it was set.
    columns_ : list of tollad.tables.schema.Column
        Kind and constants of each column. Only for frames with columns that are not all numbers.
    features_ : tollad.tables.features.Features
        The constants of the preprocessing.
    notes_ : dict of str to JSON values
        The `notes` that were saved with the model; empty after a fit.
    source_ : tollad.io.source.Source or None
        How the file of the fit was read; None after a fit from Python.
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
        neighbors: int | Auto = "auto",
        neighbor_weight: float = 1.0,
        preprocess: Preprocess = "auto",
        n_channels: int | None = None,
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
        self.neighbors = neighbors
        self.neighbor_weight = neighbor_weight
        self.preprocess = preprocess
        self.n_channels = n_channels
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
            Normal rows, at least two. Tables may have missing values (NaN). A `numpy.memmap` over 256 MiB is read block
            by block and never held in memory as a whole.
        y : ignored
        checkpoint : path, optional
            File for the state of the training, replaced about every second and on Ctrl-C. The same call resumes from it
            and ends with the scores of an uninterrupted fit. A fit that is complete returns at once.

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
        with fitting.all_or_nothing(self):
            return self._fit(X, device, checkpoint)

    def _fit(self, X: ArrayLike | LargeRows, device: torch.device, checkpoint: str | os.PathLike[str] | None) -> Self:
        self._seed = fitting.draw_seed(self.random_state)
        rows, held = self._learn_rows(X, self._calibration_split)
        stack = self._new_stack(rows, device)
        guard = None
        if checkpoint is not None:
            decisive = fitting.identity(self.get_params(), self._seed, names_of(self), rows, stack)
            guard = Checkpoint(checkpoint, decisive)
        return self._train(stack, rows, held, guard)

    def _learn_rows(self, X: ArrayLike | LargeRows, split: Splitter) -> tuple[Rows, Rows | None]:
        """Return the rows to train on and to calibrate on; learn the preparation from the former."""
        rows, held = learn_rows(self, X, split)
        settings = self._resolved(rows)
        traits = traits_of(self.network if settings.network == "custom" else settings.network)
        self._preparation = Preparation.learn(
            rows,
            preprocess=self.preprocess,
            names=names_of(self),
            encoding=encoding_of(self),
            traits=traits,
            n_members=settings.n_members,
            arcsinh=settings.corruption is not None and settings.n_members > 1,
            n_channels=settings.n_channels,
        )
        self.notes_, self.source_ = {}, None
        return rows, held

    def _resolved(self, rows: Rows) -> Settings:
        shape = with_channels(rows, traits_of(self.network).n_axes).shape[1:]
        return resolve(self.get_params(), shape, len(rows))

    def _new_stack(self, rows: Rows, device: torch.device) -> Stack:
        """Return the stack before its first step, and keep the settings."""
        settings, self.n_steps_ = self._resolved(rows), 0
        stack, self.settings_ = fitting.untrained_stack(
            self.network, settings, self._preparation, self.input_shape_, self._seed, device
        )
        return stack

    def partial_fit(self, X: ArrayLike, y: object = None) -> Self:
        """Continue training with new normal rows; the first call is `fit`.

        Each later call makes as many updates as the first. It keeps the preprocessing and the settings of the first
        (`settings_`), even if `set_params` changed a parameter. Only `contamination` and `false_alarm_rate` take
        effect: they place the threshold by the new rows. After an error the detector is unchanged.

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
            As in `fit`, and for rows of another shape or with other columns than those of the first call, or fewer
            rows than `early_stopping` or `false_alarm_rate` needs.
        FloatingPointError
            When the loss is no longer finite.
        """
        if not hasattr(self, "_scorer"):
            return self.fit(X)
        check_parameters(self.get_params())
        rows = self._rows(X)
        with fitting.all_or_nothing(self):
            return self._train(self.stack_.to(), *divide(as_large(rows, X), self._calibration_split), None)

    def transform(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return the latents of the rows of `X` by all members, side by side: (n, n_members * latent_dim)."""
        check_fitted(self)
        latents = self._scorer.latents(self._rows(X), self._preparation)
        return latents.reshape(len(latents), -1)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_scorer")

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.sparse = True
        return tags

    @property
    def _n_features_out(self) -> int:
        return len(self.stack_) * self.settings_.latent_dim

    def _calibration_split(self, n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
        return fitting.calibration_split(n, self.false_alarm_rate, self._seed)

    def _train(self, stack: Stack, rows: Rows, held: Rows | None, checkpoint: Checkpoint | None) -> Self:
        history = fitting.train_stack(
            stack,
            fitting.objective_of(self.settings_),
            self._preparation,
            self.settings_,
            rows,
            seed=self._seed,
            early_stopping=self.early_stopping,
            first_step=self.n_steps_,
            checkpoint=checkpoint,
            verbose=self.verbose,
        )
        return self._take_trained(stack, history, rows, held)

    def _take_trained(self, stack: Stack, history: History, rows: Rows, held: Rows | None) -> Self:
        """Become the detector of a trained stack."""
        objective, preparation = fitting.objective_of(self.settings_), self._preparation
        settings, before = self.settings_, self._scorer.nearest if self.n_steps_ else None
        self.history_ = history
        self.n_steps_ += history.step[-1]
        nearest = None
        if settings.neighbors:
            nearest = Nearest.draw(rows, settings, preparation, scoring_precision(stack), self._seed, before)
        self._scorer, training_scores = Scorer.learn(stack, objective, preparation, rows, nearest)
        self.decision_ = Decision.learn(
            training_scores,
            contamination=self.contamination,
            false_alarm_rate=None if held is None else self.false_alarm_rate,
            calibration_scores=None if held is None else self._scorer.scores(held, preparation),
        )
        x, x_hat, _ = next(self._scorer.run(rows, preparation))
        warn_if_collapsed(x, x_hat)
        return self
