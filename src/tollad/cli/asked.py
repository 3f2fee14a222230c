"""What a person asked of ``tollad fit``, ``score`` and ``evaluate``: a field for each argument and option.

Fields have the names of the options, unless their class says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Self

from tollad.detector.parameters import PARAMETERS

if TYPE_CHECKING:
    from tollad.io.pictures import Aspect


@dataclass(frozen=True, kw_only=True)
class _Options:
    """What the three commands have in common.

    Attributes
    ----------
    written : dict
        How text is written: attributes of `tollad.io.dialect.Dialect`.
    """

    drop: tuple[str, ...]
    on_error: str
    skipped: str | None
    header: bool | None
    key: str | None
    written: Mapping[str, Any]
    max_gib: float
    force: bool
    as_json: bool


@dataclass(frozen=True, kw_only=True)
class FitOptions(_Options):
    """What was asked of ``tollad fit``.

    Attributes
    ----------
    train : tuple of str
        The files to learn from.
    model : str
        Where to write.
    changed : tuple of str
        Texts of ``--set``.
    columns : dict of str to str or None
        Kinds of columns, from ``--column``.
    parameters : dict
        The other parameters of `TollDetector`.
    of_series : dict
        Those of `SeriesDetector` that `TollDetector` lacks, but for the window.
    """

    train: tuple[str, ...]
    model: str
    label: str | None
    normal: tuple[str, ...]
    checkpoint: str | None
    representation: str | None
    size: tuple[int, int] | None
    grey: bool
    colour: bool
    aspect: Aspect | None
    window: int | str | None
    group: str | None
    method: str | None
    changed: tuple[str, ...]
    budget: str
    columns: dict[str, str] | None
    parameters: Mapping[str, Any]
    of_series: Mapping[str, Any]

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Self:
        """Return what was asked by the values of all arguments and options, by their names."""
        own = {field.name for field in fields(cls)}
        of_detector = {parameter.name for parameter in PARAMETERS} - own
        return cls(
            **{name: value for name, value in given.items() if name in own},
            parameters={name: value for name, value in given.items() if name in of_detector},
            of_series={name: value for name, value in given.items() if name not in own | of_detector},
        )

    @property
    def list_of_skipped(self) -> str | None:
        """Where rows that cannot be read are listed; None if they are errors."""
        from tollad.io.skipped import beside

        return None if self.on_error == "fail" else self.skipped or beside(self.model)

    @property
    def reading(self) -> dict[str, Any]:
        """How files are read: arguments that `read_training_rows` and `read_training_series` share."""
        from tollad.io.dialect import Dialect

        return {
            "header": self.header is not False,
            "key": self.key,
            "label": self.label,
            "normal": self.normal,
            "drop": self.drop,
            "dialect": Dialect().changed(**self.written),
        }


@dataclass(frozen=True, kw_only=True)
class _ModelOptions(_Options):
    """What is asked of a fitted model.

    Attributes
    ----------
    model, data : str
        The model file, and the file of the rows.
    moved : dict
        Arguments of `set_threshold`; none to keep the threshold of the model.
    """

    model: str
    data: str
    device: str | None
    moved: Mapping[str, Any]
    plot: str | None


@dataclass(frozen=True, kw_only=True)
class ScoreOptions(_ModelOptions):
    """What was asked of ``tollad score``.

    Attributes
    ----------
    output : str
        Where to write; "-" is standard output.
    address : str or None
        Of ``--ray``.
    identifiers : tuple of str
        Columns to write beside the scores, from ``--id``.
    n_reasons : int
        Of ``--explain``; 0 for none.
    """

    output: str
    jobs: int | None
    address: str | None
    only_anomalies: bool
    identifiers: tuple[str, ...]
    fdr: float | None
    drift: bool
    n_reasons: int
    events: str | None
    causal: bool
    state: str | None
    maps: str | None

    @property
    def path(self) -> str | None:
        """Where to write; None for standard output."""
        return None if self.output == "-" else self.output

    @property
    def list_of_skipped(self) -> str | None:
        """Where rows that cannot be read are listed; None if they are errors."""
        from tollad.io.skipped import beside

        return None if self.on_error == "fail" else self.skipped or beside(self.output)

    @property
    def reading(self) -> dict[str, Any]:
        """How files are read: arguments that `score_blocks` and `score_series` share."""
        column, *beside = self.identifiers or (None,)
        return {"column": column, "beside": beside, "drop": self.drop, "header": self.header, "key": self.key}

    def needs_model(self) -> bool:
        """Return whether something was asked for that neither an ONNX file nor a worker gives."""
        asked = (self.fdr, self.drift, self.events, self.causal, self.state, self.plot, self.maps, self.skipped)
        return any(asked) or self.device is not None or self.on_error == "skip"


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(_ModelOptions):
    """What was asked of ``tollad evaluate``."""

    label: str | None
    normal: tuple[str, ...]
    windows: str | None
    masks: str | None

    @property
    def reading(self) -> dict[str, Any]:
        """How files are read: arguments that `score_blocks` and `labelled_series` share."""
        return {"drop": self.drop, "header": self.header, "key": self.key}
