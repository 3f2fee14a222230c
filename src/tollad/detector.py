"""TollDetector: targeted collapse as a scikit-learn estimator."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from numbers import Integral
from typing import Any, Literal, Self, TypeAlias

import numpy as np
import torch
from numpy.random import RandomState, SeedSequence
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, OutlierMixin, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import nn

from tollad import artifact, scoring
from tollad.batches import Batches
from tollad.build import build_stack, custom_stack, find_device, member_seeds
from tollad.features import Features, Preprocess, check_axes, column_names, fit_features, refuse_infinite, refuse_text
from tollad.fitting import Checkpoint, History, fit, warn_if_collapsed
from tollad.objective import Objective
from tollad.settings import NORMS, TARGETS, Settings, check_parameters, resolve
from tollad.stack import Stack
from tollad.training import Precision

Auto: TypeAlias = Literal["auto"]


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
    norm : {"l2", "l1", "linf"}, default "l2"
        Norm of the latent (Table 8).
    target : {"origin", "mean"}, default "origin"
        What the latents collapse onto. "mean" is the mean latent of the normal rows (section 4.1): of the batch while
        training, of all training rows when scoring. It is meant for encoders that were trained before.
    latent_dim : int >= 1 or "auto", default "auto"
        Length of the latent. "auto" is 16 for tables, or half the columns when they are fewer than 32, and 64 for
        convolutions.
    network : str or (encoder, decoder), default "auto"
        Name of a builder in `tollad.networks`, or two torch modules, (B, *row shape) -> (B, latent_dim) and back, which
        are copied and start from the weights they have. "auto" is "mlp" for tables and "conv" for images.
    hidden : sequence of int or "auto", default "auto"
        Widths from the input towards the latent, which is not among them; the decoder mirrors them. "auto" is the
        network's default, (256, 128) for "mlp".
    learning_rate : float > 0 or "auto", default "auto"
        Constant step size of Adam. "auto" is 1e-3.
    batch_size : int >= 2 or "auto", default "auto"
        Rows drawn, without replacement, for a step; at most all. "auto" is 128.
    steps : int >= 1 or "auto", default "auto"
        Updates (not epochs). "auto" is 1000.
    n_members : int >= 1 or "auto", default "auto"
        Models that differ in initial weights and batches, trained as one stack. Of several, each member's score is
        divided by its mean over the training rows, and the score is the mean. "auto" is 4 with corruption, else 1.
    corruption : {"auto", "mixed"} or None, default "auto"
        "mixed" is denoising collapse: the network is given a corrupted row, must return the clean one, and puts its
        latent as far from the target as the row was moved,
        ``||x_hat - x||_2 + beta * | ||z||_2 - ||x_corrupted - x||_2 |``. At a clean row, that is when scoring, this is
        equation 3 as it stands. None is the paper's loss. "auto" is "mixed" for tables and network "auto" or
        "mlp_layernorm", otherwise None.
    preprocess : {"auto", "standard"} or None, default "auto"
        "standard" subtracts the mean and divides by the standard deviation of the training rows, by column for tables
        and by channel otherwise, and clips at 50; "auto" does the same; None takes values as they are. Missing values
        in tables are always replaced by the training median and flagged in a column of their own.
    contamination : float in (0, 0.5], default 0.1
        Share of the training rows that `predict` is to call anomalous; it decides `offset_`.
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
    training_scores_ : ndarray of float64, (n,)
        Anomaly scores of the training rows.
    settings_ : tollad.settings.Settings
        The parameters with "auto" replaced.
    history_ : tollad.fitting.History
        Losses on the way.
    stack_ : tollad.stack.Stack
        The trained members; ``stack_[0]`` is the first as a torch module.
    features_ : tollad.features.Features
        The constants of the preprocessing.
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
        norm: Literal["l1", "l2", "linf"] = "l2",
        target: Literal["origin", "mean"] = "origin",
        latent_dim: int | Auto = "auto",
        network: str | tuple[nn.Module, nn.Module] = "auto",
        hidden: Sequence[int] | Auto = "auto",
        learning_rate: float | Auto = "auto",
        batch_size: int | Auto = "auto",
        steps: int | Auto = "auto",
        n_members: int | Auto = "auto",
        corruption: Literal["auto", "mixed"] | None = "auto",
        preprocess: Preprocess = "auto",
        contamination: float = 0.1,
        early_stopping: bool = False,
        precision: Precision = "float32",
        device: str | torch.device = "auto",
        random_state: int | RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        self.beta = beta
        self.norm = norm
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
        self.contamination = contamination
        self.early_stopping = early_stopping
        self.precision = precision
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: ArrayLike, y: object = None, *, checkpoint: str | os.PathLike[str] | None = None) -> Self:
        """Learn what is normal.

        Parameters
        ----------
        X : array-like, (n, d), (n, H, W), (n, C, H, W), or (n, C, T) for ``network="conv1d"``
            Normal rows, at least two. Tables may have missing values (NaN).
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
        device = find_device(self.device)
        rows = self._validate(X, reset=True)
        self.input_shape_ = rows.shape[1:]
        shaped = self._with_channels(rows)
        settings = resolve(self.get_params(), shaped.shape[1:], len(rows))
        bend = settings.corruption is not None and settings.n_members > 1
        self.features_ = fit_features(shaped, self.preprocess, self._names(), bend=bend)
        self.settings_ = settings
        self.n_steps_ = 0
        if checkpoint is not None and not isinstance(self.random_state, Integral):
            raise ValueError("a checkpoint needs random_state=<an integer>: otherwise every fit is another one")
        self._seed = _draw_seed(self.random_state)
        self.stack_ = self._build(device)
        self.objective_ = Objective({"l2": 1.0, NORMS[self.norm]: settings.beta}, TARGETS[self.target])
        guard = None if checkpoint is None else Checkpoint(checkpoint, self._identity(rows))
        return self._train(rows, guard)

    def partial_fit(self, X: ArrayLike, y: object = None) -> Self:
        """Go on training with new normal rows; the first call is `fit`.

        Later calls keep the preprocessing and every "auto" of the first, make `steps` more updates with the new rows,
        and put the threshold where `contamination` asks for among them.

        Parameters
        ----------
        X : array-like
            Normal rows, shaped as in `fit`.
        y : ignored
        """
        if not hasattr(self, "stack_"):
            return self.fit(X)
        check_parameters(self.get_params())
        rows = self._validate(X, reset=False)
        return self._train(rows, None)

    def anomaly_score(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return a(x) of equation (3), in the units of the preprocessed inputs: (n,), high = anomalous.

        A row's score does not depend on the rows it comes with.
        """
        check_is_fitted(self)
        return self._score(self._validate(X, reset=False))

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
        latents = scoring.encode(self._scorer, self._validate(X, reset=False), self._prepare)
        return latents.reshape(len(latents), -1)

    def reconstruct(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return what the network makes of the rows, in their own shape and units; the mean over the members."""
        check_is_fitted(self)
        rows = self._validate(X, reset=False)
        outputs = scoring.reconstruct(self._scorer, rows, self._prepare)
        shape = self._with_channels(rows).shape if rows.ndim > 2 else outputs[:, 0].shape
        views = self._views()
        members = [self.features_.inverse(outputs[:, m].reshape(shape), view) for m, view in enumerate(views)]
        return np.mean(members, axis=0).reshape(rows.shape)

    def set_threshold(self, *, contamination: float | None = None, anomaly_score: float | None = None) -> Self:
        """Move the threshold without training.

        Parameters
        ----------
        contamination : float in (0, 0.5], optional
            Share of the training rows to be called anomalous, as in the parameter of this name, which it replaces.
        anomaly_score : float, optional
            Rows above this score are to be called anomalous. Give one of the two.
        """
        check_is_fitted(self)
        if (contamination is None) == (anomaly_score is None):
            raise ValueError("set_threshold needs either contamination or anomaly_score")
        if contamination is not None:
            check_parameters({**self.get_params(), "contamination": contamination})
            self.contamination = contamination
            self.offset_ = _offset(self.training_scores_, contamination)
        elif anomaly_score is not None:
            if not math.isfinite(anomaly_score):
                raise ValueError(f"anomaly_score must be a finite number, not {anomaly_score!r}")
            self.offset_ = -float(anomaly_score)
        return self

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
            Kept with the model and found again as `notes_`: what the rows were, say.
        overwrite : bool, default True
            Whether an existing file may be replaced.
        """
        check_is_fitted(self)
        parameters = self.get_params()
        parameters |= {"random_state": self._seed, "device": str(self.device), "hidden": _plain(self.hidden)}
        if not isinstance(self.network, str):
            parameters["network"] = "custom"
        names = getattr(self, "feature_names_in_", None)
        metadata = {
            "parameters": {name: _plain(value) for name, value in parameters.items()},
            "settings": asdict(self.settings_),
            "input_shape": list(self.input_shape_),
            "feature_names": None if names is None else [str(name) for name in names],
            "offset": self.offset_,
            "n_steps": self.n_steps_,
            "history": asdict(self.history_),
            "notes": dict(notes or getattr(self, "notes_", {})),
        }
        tensors = {f"stack.{name}": t.cpu().numpy() for name, t in self.stack_.state().items()}
        tensors |= {f"features.{name}": array for name, array in self.features_.arrays().items()}
        tensors |= {"training_scores": self.training_scores_, "member_means": self._member_means}
        if self._center is not None:
            tensors["center"] = self._center.cpu().numpy()
        artifact.save(path, "model", metadata, tensors, overwrite=overwrite)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        device: str | torch.device | None = None,
        network: tuple[nn.Module, nn.Module] | None = None,
    ) -> Self:
        """Read a detector written by `save`; it gives the same scores to the bit on the same machine.

        Parameters
        ----------
        path : path
        device : str or torch.device, optional
            Where to run; by default the parameter `device` of the saved detector.
        network : (encoder, decoder), optional
            For a detector of modules of your own: modules of the same architecture. Their weights are replaced.

        Raises
        ------
        ValueError
            If the file is no tollad model, is damaged or altered, or needs `network`.
        OSError
            If the file cannot be read.
        """
        metadata, arrays = artifact.load(path, "model")
        parameters = metadata["parameters"]
        if parameters["network"] == "custom":
            if network is None:
                raise ValueError(
                    f"{os.fspath(path)} holds weights of modules of your own; pass network=(encoder, decoder)"
                )
            parameters["network"] = network
        elif network is not None:
            raise ValueError(f"{os.fspath(path)} holds network {parameters['network']!r}; load it without network=")
        parameters["device"] = device if device is not None else parameters["device"]
        self = cls(**parameters)
        check_parameters(parameters)
        settings = metadata["settings"]
        self.settings_ = Settings(**settings | {"hidden": tuple(settings["hidden"])})
        self.input_shape_ = tuple(metadata["input_shape"])
        self.n_features_in_ = self.input_shape_[0]
        if metadata["feature_names"] is not None:
            self.feature_names_in_ = np.array(metadata["feature_names"], dtype=object)
        self.offset_ = metadata["offset"]
        self.n_steps_ = metadata["n_steps"]
        self.history_ = History(**metadata["history"])
        self.notes_ = metadata["notes"]
        self.training_scores_, self._member_means = arrays["training_scores"], arrays["member_means"]
        self._seed = parameters["random_state"]
        self.features_ = Features(**_group(arrays, "features."))
        self.objective_ = Objective({"l2": 1.0, NORMS[self.norm]: self.settings_.beta}, TARGETS[self.target])
        place = find_device(self.device)
        self.stack_ = self._build(place).eval()
        self.stack_.load_state({name: torch.from_numpy(a) for name, a in _group(arrays, "stack.").items()})
        self._center = torch.from_numpy(arrays["center"]).to(place) if "center" in arrays else None
        self._scorer = scoring.scoring_copy(self.stack_)
        return self

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    @property
    def _n_features_out(self) -> int:
        return len(self.stack_) * self.settings_.latent_dim

    def _validate(self, X: ArrayLike, *, reset: bool) -> NDArray[Any]:
        """Return the rows as an array whose columns and shape are those of the fit, without infinite values."""
        refuse_text(X)
        least = 2 if reset else 1
        rows = validate_data(
            self, X, reset=reset, dtype="numeric", ensure_all_finite=False, allow_nd=True, ensure_min_samples=least
        )
        if reset:
            check_axes(rows.shape)
        elif rows.shape[1:] != self.input_shape_:
            raise ValueError(f"the rows have shape {rows.shape[1:]}; the detector was fitted on {self.input_shape_}")
        refuse_infinite(rows, self._names())
        if not reset:
            self.features_.warn_unflagged(rows, self._names())
        return rows

    def _names(self) -> Sequence[str]:
        return column_names(getattr(self, "feature_names_in_", None), self.n_features_in_)

    def _with_channels(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Return rows with a channel axis: 3-d rows are grey images, but for conv1d, which takes (n, C, T)."""
        return rows[:, None] if rows.ndim == 3 and self.network != "conv1d" else rows

    def _views(self) -> list[int]:
        """Return which view of the features each member takes."""
        return [member % self.features_.n_views for member in range(self.settings_.n_members)]

    def _prepare_views(self, rows: NDArray[Any]) -> NDArray[np.float64]:
        """Return each view of some rows in the shape that the network takes: (n_views, n, *shape)."""
        views = self.features_.transform(self._with_channels(rows))
        return views.reshape(*views.shape[:2], -1) if self.settings_.network.startswith("mlp") else views

    def _prepare(self, rows: NDArray[Any]) -> NDArray[np.float64]:
        """Return what each member takes for some rows: (M, n, *shape), or (1, n, *shape) if all take the same."""
        views = self._prepare_views(rows)
        return views if len(views) == 1 else views[self._views()]

    def _build(self, device: torch.device) -> Stack:
        settings = self.settings_
        shape = self._prepare_views(np.zeros((1, *self.input_shape_))).shape[2:]
        if isinstance(self.network, str):
            seeds = [member_seeds(self._seed, member)[0] for member in range(settings.n_members)]
            latent_dim, hidden = settings.latent_dim, settings.hidden
            stack = build_stack(settings.network, shape, latent_dim, hidden, seeds, settings.batch_size)
        else:
            stack, latent_dim = custom_stack(self.network, shape, settings.n_members)
            self.settings_ = replace(settings, latent_dim=latent_dim)
        return stack.to(device=device, dtype=torch.float64 if self.precision == "float64" else torch.float32)

    def _train(self, rows: NDArray[Any], checkpoint: Checkpoint | None) -> Self:
        settings = self.settings_
        trained, held_out = self._split(len(rows))
        views = self._prepare_views(rows[trained])
        tensor = torch.tensor(views, dtype=self.stack_.dtype, device=self.stack_.device).flatten(0, 1)
        seeds = [member_seeds(self._seed, member)[1] for member in range(settings.n_members)]
        n = views.shape[1]
        subsets = None if len(views) == 1 else [np.arange(view * n, (view + 1) * n) for view in self._views()]
        batches = Batches(tensor, settings.batch_size, seeds, subsets, corrupt=settings.corruption is not None)
        with self._own_randomness():
            self.history_ = fit(
                self.stack_,
                self.objective_,
                batches,
                steps=settings.steps,
                learning_rate=settings.learning_rate,
                schedule=settings.schedule,
                first_step=self.n_steps_,
                precision=self.precision,
                held_out=None if held_out is None else self._prepare(rows[held_out]),
                checkpoint=checkpoint,
                verbose=self.verbose,
            )
        self.n_steps_ += self.history_.step[-1]
        self._scorer = scoring.scoring_copy(self.stack_)
        self._center = None
        if self.target == "mean":
            self._center = scoring.mean_latent(self._scorer, rows, self._prepare)
        by_member = scoring.score(self._scorer, self.objective_, rows, self._prepare, self._center)
        self._member_means = by_member.mean(0)
        self.training_scores_ = self._join(by_member)
        self.offset_ = _offset(self.training_scores_, self.contamination)
        x, x_hat, _ = next(scoring.run(self._scorer, rows, self._prepare))
        warn_if_collapsed(x, x_hat)
        return self

    def _split(self, n_rows: int) -> tuple[NDArray[np.int64] | slice, NDArray[np.int64] | None]:
        """Return which rows to train on and, for early stopping, the tenth that is held out."""
        if not self.early_stopping:
            return slice(None), None
        if n_rows < 3:
            raise ValueError(
                "early_stopping holds out a tenth of the rows and needs 3 or more; set early_stopping=False"
            )
        order = np.random.default_rng(self._seed).permutation(n_rows)
        n_held_out = max(1, n_rows // 10)
        return order[n_held_out:], order[:n_held_out]

    @contextmanager
    def _own_randomness(self) -> Iterator[None]:
        """Let modules of the user, which may hold dropout, draw from the seed; torch's global state stays as it was."""
        if isinstance(self.network, str):
            yield
            return
        with torch.random.fork_rng():
            torch.manual_seed(self._seed)
            yield

    def _score(self, rows: NDArray[Any]) -> NDArray[np.float64]:
        return self._join(scoring.score(self._scorer, self.objective_, rows, self._prepare, self._center))

    def _join(self, by_member: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return one score a row: of one member its own, of several the mean of each in units of its training mean."""
        if by_member.shape[1] == 1:
            return by_member[:, 0]
        return (by_member / np.where(self._member_means > 0, self._member_means, 1.0)).mean(1)

    def _identity(self, rows: NDArray[Any]) -> str:
        """Return a digest of everything that decides the outcome of a fit."""
        parameters = {name: _plain(value) for name, value in self.get_params().items() if name != "verbose"}
        decisive = {"parameters": parameters, "seed": self._seed, "names": list(self._names()), "shape": rows.shape}
        digest = hashlib.sha256(json.dumps(decisive, sort_keys=True).encode())
        digest.update(np.ascontiguousarray(rows).data)
        for name, tensor in self.stack_.state().items():
            digest.update(name.encode())
            digest.update(tensor.cpu().numpy().data)
        return digest.hexdigest()


def _offset(training_scores: NDArray[np.float64], contamination: float) -> float:
    """Return the offset that has ``round(contamination * n)`` of the training rows below it."""
    samples = np.sort(-training_scores)
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


def _plain(value: Any) -> Any:
    """Return a parameter as JSON can hold it."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (list, tuple)) and not any(isinstance(part, nn.Module) for part in value):
        return [_plain(part) for part in value]
    return value if isinstance(value, (str, int, float, type(None))) else str(value)


def _group(arrays: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
