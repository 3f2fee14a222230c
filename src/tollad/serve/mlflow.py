"""Models in MLflow, the extra `mlflow`: a tollad model file beside a few lines of code, and no pickle."""

from __future__ import annotations

import hashlib
import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from tollad.series.detector import SeriesDetector
from tollad.serve.answers import Detector, has_p_values, load

try:
    import mlflow
    from mlflow.models import ModelSignature
    from mlflow.models.model import ModelInfo
    from mlflow.types import ColSpec, DataType, Schema, TensorSpec
    from mlflow.types.schema import AnyType
except ImportError as error:
    raise ImportError("tollad.mlflow needs MLflow; install it with: pip install 'tollad[mlflow]'") from error

__all__ = ["load_model", "log_model", "save_model", "signature"]

_CODE = Path(__file__).with_name("mlflow_code.py")
_ARTIFACT = "model"


def log_model(model: str | os.PathLike[str] | Detector, name: str = "model", **options: Any) -> ModelInfo:
    """Log a model to the active run of MLflow, as a pyfunc.

    ``mlflow.pyfunc.load_model(uri).predict(frame)`` then returns a frame of ``anomaly_score``, ``anomaly`` and, of a
    model with calibration rows, ``p_value``. The model file is stored byte by byte, with code that loads it
    (MLflow's "models from code"): nothing is pickled.

    Parameters
    ----------
    model : path or fitted detector
        A file of `TollDetector`, `ImageDetector` or `SeriesDetector`, or such a detector.
    name : str, default "model"
        Name of the logged model.
    **options
        Options of ``mlflow.pyfunc.log_model``, such as ``registered_model_name`` and ``input_example``; `signature` and
        ``pip_requirements`` (this tollad, and the packages the scores depend on) have defaults.

    Returns
    -------
    mlflow.models.model.ModelInfo

    Raises
    ------
    ValueError
        If the file is no model, or needs modules of your own, which a file cannot hold.
    OSError
        If the file cannot be read.

    Examples
    --------
    ::

        import mlflow
        import tollad.mlflow

        with mlflow.start_run():
            info = tollad.mlflow.log_model("model.tollad", registered_model_name="pumps")
        scores = mlflow.pyfunc.load_model(info.model_uri).predict(new)["anomaly_score"]
    """
    with _file_of(model) as path, _without_advice():
        return mlflow.pyfunc.log_model(name=name, **_flavour(path) | options)


def save_model(model: str | os.PathLike[str] | Detector, path: str | os.PathLike[str], **options: Any) -> None:
    """Write a model as a folder in the format of MLflow. Parameters and errors as in `log_model`.

    Examples
    --------
    ::

        tollad.mlflow.save_model("model.tollad", "folder")
    """
    with _file_of(model) as file, _without_advice():
        mlflow.pyfunc.save_model(path=os.fspath(path), **_flavour(file) | options)


def load_model(uri: str) -> Detector:
    """Return the detector of a model that `log_model` or `save_model` wrote: all its methods, not `predict` only.

    Parameters
    ----------
    uri : str
        A URI of MLflow: ``models:/pumps/3``, ``runs:/RUN/model``, or the path of a folder.

    Raises
    ------
    ValueError
        If the model was not written by tollad.
    mlflow.exceptions.MlflowException
        If there is no such model.

    Examples
    --------
    ::

        reasons = tollad.mlflow.load_model("models:/pumps/3").explain(new).reasons(0)
    """
    folder = Path(mlflow.artifacts.download_artifacts(artifact_uri=uri))
    found = [*folder.glob("artifacts/*.tollad")]
    if len(found) != 1:
        raise ValueError(f"{uri}: is no model that tollad.mlflow wrote; load it with mlflow.pyfunc.load_model")
    return load(found[0])


def signature(detector: Detector) -> ModelSignature:
    """Return MLflow's description of a detector's inputs and outputs.

    Columns have names and no types: the model checks its rows itself, and MLflow would refuse integers, or text that
    stands for a date, where the training rows had numbers or dates. Rows without names and images are tensors.

    Parameters
    ----------
    detector : TollDetector, ImageDetector, SeriesDetector or MethodDetector
        Fitted.

    Examples
    --------
    ::

        signature(detector).inputs.input_names()
    """
    outputs: list[ColSpec | TensorSpec] = [
        ColSpec(DataType.double, "anomaly_score"),
        ColSpec(DataType.boolean, "anomaly"),
    ]
    if has_p_values(detector):
        outputs.append(ColSpec(DataType.double, "p_value"))
    names = _names(detector)
    if names is not None:
        columns: list[ColSpec | TensorSpec] = [ColSpec(AnyType(), name) for name in names]
        return ModelSignature(Schema(columns), Schema(outputs))
    shape = (detector.n_features_in_,) if isinstance(detector, SeriesDetector) else detector.input_shape_
    dtype = np.dtype(np.float32 if len(shape) == 3 else np.float64)
    return ModelSignature(Schema([TensorSpec(dtype, (-1, *shape))]), Schema(outputs))


def _names(detector: Detector) -> list[str] | None:
    """Return the names of a detector's columns; None if the rows of its fit had no names."""
    if isinstance(detector, SeriesDetector):
        names = list(detector.model_.columns)
        if names == [f"x{number}" for number in range(1, len(names) + 1)]:
            return None
        return names if detector.time is None else [detector.time, *names]
    columns = getattr(detector, "columns_", None)
    if columns is not None:
        return [column.name for column in columns if column.kind != "drop"]
    features = getattr(detector, "feature_names_in_", None)
    return None if features is None else list(map(str, features))


def _flavour(path: Path) -> dict[str, Any]:
    """Return the options of MLflow for a model file.

    The file is loaded once, so that no file is stored that cannot be loaded.
    """
    packages = ("torch", "scikit-learn", "numpy")
    return {
        "python_model": os.fspath(_CODE),
        "artifacts": {_ARTIFACT: os.fspath(path)},
        "signature": signature(load(path)),
        "pip_requirements": [
            f"tollad[mlflow]=={version('tollad')}",
            *(f"{package}=={version(package).partition('+')[0]}" for package in packages),
        ],
        "metadata": {"tollad_sha256": hashlib.sha256(path.read_bytes()).hexdigest()},
    }


@contextmanager
def _without_advice() -> Iterator[None]:
    """Suppress MLflow's advice to give an example for guessing a signature: there is a signature."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*An input example was not provided")
        yield


@contextmanager
def _file_of(model: str | os.PathLike[str] | Detector) -> Iterator[Path]:
    """Yield the file of a model under a name that ends in .tollad.

    For a detector, the file is removed after the block.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.tollad")
        if isinstance(model, str | os.PathLike):
            path.write_bytes(Path(model).read_bytes())
        else:
            model.save(path)
        yield path
