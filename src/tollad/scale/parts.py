"""Score many files into one part each, here or on a cluster. A repeated call goes on where the last one ended."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import PurePath
from typing import Any, cast

from tollad import __version__
from tollad.calls import Each, one_by_one
from tollad.detector.estimator import TollDetector
from tollad.detector.results import Counted, result_tables, score_blocks
from tollad.images.detector import ImageDetector
from tollad.io.files import atomic_write
from tollad.io.outputs import write_tables
from tollad.io.places import local_copy, mtimes
from tollad.scale.models import detector_of
from tollad.series.detector import SeriesDetector
from tollad.series.scoring import score_series
from tollad.serve.answers import Detector
from tollad.warn import printable, warn

RECORD = "parts.json"
"""The file in a folder of parts that records the model and the settings of the parts."""


@dataclass(frozen=True)
class Asked:
    """How files are scored: plain values, which can be sent to workers.

    Attributes
    ----------
    moved : dict
        Arguments of `set_threshold`. If empty, the threshold of the model stays.
    column, beside, drop, header, key
        As in `tollad.io.inputs.row_blocks`.
    written : dict
        How text differs from that of the fit, see `tollad.io.dialect.Dialect`.
    max_gib : float
    only_anomalies : bool
    n_reasons : int
    """

    moved: Mapping[str, float]
    column: str | None = None
    beside: Sequence[str] = ()
    drop: Sequence[str] = ()
    header: bool | None = None
    key: str | None = None
    written: Mapping[str, Any] | None = None
    max_gib: float = 1.0
    only_anomalies: bool = False
    n_reasons: int = 0


@dataclass(frozen=True)
class Done:
    """Counts of the parts, rows and anomalies of a call.

    Attributes
    ----------
    n_written, n_kept : int
        Parts written by this call, and parts that were there already.
    n_rows, n_anomalies : int
        Rows and anomalies in the parts written by this call.
    """

    n_written: int
    n_kept: int
    n_rows: int
    n_anomalies: int


def score_files(model: str, files: Sequence[str], folder: str, asked: Asked, each: Each = one_by_one) -> Done:
    """Score files by one model, and write a Parquet file for each, named like it.

    A part equals, to the bit, the file that `tollad score` writes. It appears when it is whole. Parts of an earlier
    call with the same model are kept if they are newer than their files.

    Parameters
    ----------
    model : str
        A model file.
    files : sequence of str
        Paths that all workers see, or URIs such as ``s3://bucket/a.parquet``.
    folder : str
        Folder for the parts, which all workers must see, too. It is made if it is missing.
    asked : Asked
    each : Each, optional
        Carries out the calls; by default this process, one by one.

    Raises
    ------
    ValueError
        If two files would have one part, or the folder holds anything else, such as parts of another model; and as
        `tollad.detector.results.score_blocks`. Parts that were finished before stay.
    OSError
        If a file cannot be read or written, or a worker writes where this machine does not see it.
    """
    with open(model, "rb") as file:
        data = file.read()
    _check_kind(detector_of(data, **asked.moved), asked, model)
    changed = mtimes(files)
    parts = _parts_of(files, folder)
    _begin(folder, {"model": hashlib.sha256(data).hexdigest(), "tollad": __version__, "asked": _plain(asked)})
    left = [path for path in files if not _is_newer(parts[path], changed[path])]
    n_rows = n_anomalies = 0
    told: set[str] = set()
    for number, (rows, anomalies, remarks) in each(
        partial(_score, data, asked), [(path, parts[path]) for path in left]
    ):
        part = parts[left[number]]
        if not os.path.exists(part):
            raise FileNotFoundError(
                f"a worker wrote {part}, and it is not here: give a folder that all machines of the cluster share"
            )
        n_rows, n_anomalies = n_rows + rows, n_anomalies + anomalies
        for remark in remarks:
            if remark not in told:
                told.add(remark)
                warn(remark)
    return Done(len(left), len(files) - len(left), n_rows, n_anomalies)


def _score(data: bytes, asked: Asked, path: str, part: str) -> tuple[int, int, list[str]]:
    """Write one part. Return its number of rows, of anomalies, and the warnings."""
    detector, counted = detector_of(data, **asked.moved), Counted()
    with warnings.catch_warnings(record=True) as caught, local_copy(path) as local:
        warnings.simplefilter("always", UserWarning)
        blocks = _blocks(detector, local, asked)
        tables = result_tables(
            cast(TollDetector, detector), blocks, only_anomalies=asked.only_anomalies, n_reasons=asked.n_reasons
        )
        write_tables(part, counted.watch(tables), overwrite=True)
    return counted.n_rows, counted.n_anomalies, [str(one.message) for one in caught]


def _blocks(detector: Detector, path: str, asked: Asked) -> Any:
    names = ("header", "key", "column", "beside", "drop")
    reading: dict[str, Any] = {name: getattr(asked, name) for name in names}
    if isinstance(detector, SeriesDetector):
        model = detector.model_
        return score_series(model, path, **reading, dialect=model.dialect.changed(**(asked.written or {})))
    assert isinstance(detector, TollDetector)
    return score_blocks(detector, path, **reading, written=asked.written, max_gib=asked.max_gib)


def _check_kind(detector: Detector, asked: Asked, model: str) -> None:
    if isinstance(detector, ImageDetector):
        raise ValueError(f"{model} is a model of images; give files of tables or series, with a model of theirs")
    if asked.n_reasons and isinstance(detector, SeriesDetector):
        raise ValueError("reasons are for rows of tables; those of a series come with its events")


def _parts_of(files: Sequence[str], folder: str) -> dict[str, str]:
    """Return the path of the part of each file."""
    parts: dict[str, str] = {}
    of_part: dict[str, str] = {}
    for path in files:
        # a.csv.gz is a
        name = f"{PurePath(path).name.partition('.')[0] or PurePath(path).name}.parquet"
        if name in of_part:
            raise ValueError(f"{of_part[name]} and {path} would both be {name} in {folder}; score them one by one")
        of_part[name] = path
        parts[path] = os.path.join(os.path.abspath(folder), name)
    return parts


def _begin(folder: str, record: Mapping[str, Any]) -> None:
    """Make the folder, or check that its parts were made in the same way."""
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise OSError(f"cannot make the folder {folder}: {error.strerror}; choose another name") from None
    path = os.path.join(folder, RECORD)
    if not os.path.exists(path):
        others = [name for name in os.listdir(folder) if not name.startswith(".")]
        if others:
            raise ValueError(
                f"{folder}: holds {printable(sorted(others)[0])!r}, which is no part of scores; give a new folder"
            )
        with atomic_write(path) as file:
            file.write(json.dumps(record, indent=1).encode())
        return
    try:
        with open(path, encoding="utf-8") as text:
            found = json.load(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ValueError(f"{path}: tells of no parts of scores; give a new folder, or remove this one")
    if found != record:
        which = "another model" if found.get("model") != record["model"] else "this model, asked otherwise"
        raise ValueError(f"{folder}: holds parts of {which}; give a new folder, or remove this one")


def _plain(asked: Asked) -> Any:
    """Return the settings as JSON values."""
    return json.loads(json.dumps(vars(asked), default=list))


def _is_newer(part: str, changed: float) -> bool:
    return os.path.exists(part) and os.path.getmtime(part) >= changed
