"""TollDetector: targeted collapse as a scikit-learn estimator."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from numbers import Integral
from typing import Any, Literal, Self, TypeAlias

import numpy as np
import torch
from numpy.random import RandomState
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, OutlierMixin, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from tollad.calibration import Decision
from tollad.detector import checks, fitting
from tollad.detector.deciding import Deciding
from tollad.detector.explain import Explanation, sum_groups
from tollad.detector.model import Model, Record
from tollad.detector.parameters import check_parameters, documented
from tollad.detector.preparation import Preparation, with_channels
from tollad.detector.scorer import Scorer
from tollad.detector.settings import Settings, as_json, resolve
from tollad.detector.wording import Wording
from tollad.io import artifact
from tollad.io.source import Source
from tollad.method.networks import traits_of
from tollad.method.objective import Objective
from tollad.method.traits import Builder
from tollad.tables.decode import decode, values_of
from tollad.tables.features import Features, Preprocess
from tollad.tables.frames import to_arrow
from tollad.tables.large import LargeRows, Rows, as_large
from tollad.tables.rows import check_rows, divide, encoding_of, learn_rows, names_of
from tollad.tables.schema import Column
from tollad.training.build import Modules, find_device
from tollad.training.checkpoint import Checkpoint
from tollad.training.loop import Precision
from tollad.training.session import History, warn_if_collapsed
from tollad.training.stack import Stack

Auto: TypeAlias = Literal["auto"]


@documented
class TollDetector(Deciding, ClassNamePrefixFeaturesOutMixin, TransformerMixin, OutlierMixin, BaseEstimator):
    """Anomaly detection by targeted collapse.

    An autoencoder is trained on normal rows with the loss ``||x_hat - x||_2 + beta * ||z||_2`` (equation 2): it must
    describe a row, yet keep its latent ``z`` close to the origin. The same expression, not averaged, is the anomaly
    score of a row (equation 3).

    Parameters
    ----------
    {parameters}

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
    decision_ : tollad.calibration.Decision
        The threshold, the rule that placed it and the scores that it rests on.
    calibration_scores_ : ndarray of float64
        Anomaly scores of the rows held out, in ascending order. Only with `false_alarm_rate` or after `calibrate`.
    columns_ : list of tollad.tables.schema.Column
        What was decided of each column. Only for frames with columns that are not all numbers.
    features_ : tollad.tables.features.Features
        The constants of the preprocessing.
    notes_ : dict of str to JSON values
        What was saved with the model as `notes`; empty after a fit.
    source_ : tollad.io.source.Source or None
        What the commands know of the file of the fit; None after a fit from Python.
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
    source_: Source | None
    settings_: Settings
    history_: History
    n_steps_: int
    input_shape_: tuple[int, ...]
    _preparation: Preparation
    _scorer: Scorer
    decision_: Decision

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
        self._seed = fitting.draw_seed(self.random_state)
        rows, held = learn_rows(self, X, self._calibration_split)
        traits = traits_of(self.network)
        settings = resolve(self.get_params(), with_channels(rows, traits.n_axes).shape[1:], len(rows))
        if settings.network != "custom":
            traits = traits_of(settings.network)
        self._preparation = Preparation.learn(
            rows,
            preprocess=self.preprocess,
            names=names_of(self),
            encoding=encoding_of(self),
            traits=traits,
            n_members=settings.n_members,
            arcsinh=settings.corruption is not None and settings.n_members > 1,
        )
        self.notes_, self.source_, self.n_steps_ = {}, None, 0
        stack, self.settings_ = fitting.build(
            self.network, settings, self._preparation, self.input_shape_, self._seed, device
        )
        guard = None
        if checkpoint is not None:
            decisive = fitting.identity(self.get_params(), self._seed, names_of(self), rows, stack)
            guard = Checkpoint(checkpoint, decisive)
        return self._train(stack, rows, held, guard)

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
        if not hasattr(self, "_scorer"):
            return self.fit(X)
        check_parameters(self.get_params())
        rows = self._rows(X)
        with self._all_or_nothing():
            return self._train(self.stack_.to(), *divide(as_large(rows, X), self._calibration_split), None)

    def anomaly_score(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return a(x) of equation (3), in the units of the preprocessed inputs: (n,), high = anomalous.

        A row's score does not depend on the rows it comes with.
        """
        check_is_fitted(self)
        return self._scorer.scores(self._rows(X), self._preparation)

    def transform(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return the latents, (n, latent_dim), or those of all members side by side, (n, n_members * latent_dim)."""
        check_is_fitted(self)
        latents = self._scorer.latents(self._rows(X), self._preparation)
        return latents.reshape(len(latents), -1)

    def reconstruct(self, X: ArrayLike) -> NDArray[Any]:
        """Return what the network makes of the rows, in their own shape and units; the mean over the members.

        Of a frame with categories or dates it is an array of objects, see `tollad.tables.decode.decode`.
        """
        check_is_fitted(self)
        rows = self._rows(X)
        x_hat = self._scorer.reconstructions(rows, self._preparation)
        expected = self._preparation.reconstructed(x_hat, rows)
        return decode(expected, self.columns_) if hasattr(self, "columns_") else expected

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
        passed = self._scorer.explained(rows, self._preparation)
        parts, seen, wording = passed.parts, rows, None
        expected: NDArray[Any] = self._preparation.reconstructed(passed.x_hat, rows)
        if rows.ndim == 2:
            parts = sum_groups(parts, self._preparation.origin.tolist(), self.n_features_in_)
        if self._preparation.encoding is not None:
            seen, decoded = values_of(to_arrow(X), self.columns_), decode(expected, self.columns_)
            by_output = passed.parts[:, : rows.shape[1]]
            wording, expected = Wording(self.columns_, rows, expected, by_output, seen, decoded), decoded
        names = self._preparation.names
        return Explanation(names, passed.scores, parts.reshape(seen.shape), passed.latent, seen, expected, wording)

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        notes: Mapping[str, Any] | None = None,
        overwrite: bool = True,
        source: Source | None = None,
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
        source : tollad.io.source.Source, optional
            What the commands know of the file of the fit, by which later files are read; by default that which there
            is.

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
        record = Record(
            parameters={name: as_json(value) for name, value in parameters.items()},
            settings=self.settings_,
            input_shape=self.input_shape_,
            feature_names=None if names is None else [str(name) for name in names],
            named_by_numbers=named_by_numbers,
            columns=getattr(self, "columns_", None),
            n_steps=self.n_steps_,
            history=self.history_,
            notes=dict(self.notes_ if notes is None else notes),
            source=self.source_ if source is None else source,
        )
        Model(self._preparation, self._scorer, self.decision_, record).save(path, overwrite=overwrite)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        device: str | torch.device | None = None,
        network: Builder | Modules | None = None,
        sha256: str | None = None,
    ) -> Self:
        """Read a detector written by `save`; it gives the same scores to the bit on the same machine.

        All that a file holds is checked before memory is given to the network. Its digest guards from accidents; it is
        no signature, since whoever writes a file can compute it. To accept one file only, give its `sha256`.

        Parameters
        ----------
        path : path
        device : str or torch.device, optional
            Where to run; by default as saved, or on the CPU with a warning if this machine has no such device.
        network : builder, nn.Module or (encoder, decoder), optional
            For a detector with a network of your own: one of the same architecture. Its weights are replaced.
        sha256 : str, optional
            The SHA-256 of the file that is wanted, as ``sha256sum`` prints it: any other file is refused.

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
            checks.network("network", network)
            if isinstance(network, str):
                raise TypeError("network must be a builder or torch modules of your own; the file knows the names")
        model = Model.load(path, device=device, network=network, sha256=sha256)
        parameters = dict(model.record.parameters)
        if network is not None:
            parameters["network"] = network
        with artifact.understood(path):
            self = cls(**parameters)
            check_parameters(self.get_params())  # of which an older file may lack some
        return self._take(model)

    def _take(self, model: Model) -> Self:
        """Become a detector that was saved."""
        record = model.record
        self._preparation, self._scorer, self.decision_ = model.preparation, model.scorer, model.decision
        self.settings_, self.history_ = record.settings, record.history
        self.notes_, self.source_ = record.notes, record.source
        self.n_steps_, self.input_shape_ = record.n_steps, record.input_shape
        self.n_features_in_ = self.input_shape_[0]
        if record.named_by_numbers:
            self._numbered_names = record.feature_names
        elif record.feature_names is not None:
            self.feature_names_in_ = np.array(record.feature_names, dtype=object)
        if record.columns is not None:
            self.columns_ = record.columns
        self._seed = record.parameters["random_state"]
        return self

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

    @property
    def features_(self) -> Features:
        return self._preparation.features

    @property
    def stack_(self) -> Stack:
        return self._scorer.stack

    @property
    def objective_(self) -> Objective:
        return self._scorer.objective

    def _rows(self, X: ArrayLike) -> NDArray[Any]:
        """Return rows as those of the fit, and warn of gaps that were none then."""
        rows = check_rows(self, X)
        self._preparation.warn_of_new_gaps(rows, X)
        return rows

    def _calibration_split(self, n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
        return fitting.calibration_split(n, self.false_alarm_rate, self._seed)

    def _train(self, stack: Stack, rows: Rows, held: Rows | None, checkpoint: Checkpoint | None) -> Self:
        objective, preparation = fitting.objective_of(self.settings_), self._preparation
        self.history_ = fitting.train(
            stack,
            objective,
            preparation,
            self.settings_,
            rows,
            seed=self._seed,
            early_stopping=self.early_stopping,
            first_step=self.n_steps_,
            checkpoint=checkpoint,
            verbose=self.verbose,
        )
        self.n_steps_ += self.history_.step[-1]
        self._scorer, training_scores = Scorer.learn(stack, objective, preparation, rows)
        self.decision_ = Decision.learn(
            training_scores,
            contamination=self.contamination,
            false_alarm_rate=None if held is None else self.false_alarm_rate,
            calibration_scores=None if held is None else self._scorer.scores(held, preparation),
        )
        x, x_hat, _ = next(self._scorer.run(rows, preparation))
        warn_if_collapsed(x, x_hat)
        return self

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        """Leave the detector as it was when a fit fails or is interrupted."""
        before = dict(self.__dict__)
        try:
            yield
        except BaseException:
            self.__dict__ = before
            raise
