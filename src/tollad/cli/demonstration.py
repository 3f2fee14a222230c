"""The demonstration: anomaly detection on scikit-learn's breast cancer table, the benign tumours being normal."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from sklearn.datasets import load_breast_cancer

from tollad import metrics, plots
from tollad.detector.estimator import TollDetector
from tollad.io.outputs import write_tables
from tollad.io.rows import with_names
from tollad.io.source import Source

_BENIGN = 1


@dataclass(frozen=True)
class Demo:
    """Results and files of the demonstration.

    Attributes
    ----------
    auroc, average_precision, false_alarm_rate : float
        Over the rows that were not trained on; the last at the threshold of the detector.
    threshold : float
        Scores above it are alarms.
    n_trained, n_normal, n_anomalies : int
        Benign rows trained on, benign rows held out, malignant rows.
    most_anomalous : list of (int, float, str)
        Row in the table, counted from 1, anomaly score and label of the five rows with the highest scores.
    table, model, scores, picture : str or None
        Paths of the files. Without matplotlib there is no picture.
    """

    auroc: float
    average_precision: float
    false_alarm_rate: float
    threshold: float
    n_trained: int
    n_normal: int
    n_anomalies: int
    most_anomalous: list[tuple[int, float, str]]
    table: str
    model: str
    scores: str
    picture: str | None


def run(folder: str | os.PathLike[str], *, verbose: int = 0) -> Demo:
    """Fit on half of the benign rows, and score the other half and all malignant rows.

    Parameters
    ----------
    folder : path
        Where to write the table, the model, the scores and the picture. It is created if necessary, and files of an
        earlier demonstration are replaced.
    verbose : int, default 0
        1 shows the progress of the training on standard error.

    Raises
    ------
    OSError
        If the folder cannot be made or written to.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"cannot write to {folder}: it is a file; give the name of a folder")
    folder.mkdir(parents=True, exist_ok=True)
    data = load_breast_cancer()
    names = [str(name) for name in data.feature_names]
    diagnosis = np.where(data.target == _BENIGN, "benign", "malignant")
    benign = np.flatnonzero(diagnosis == "benign")
    trained = np.random.default_rng(0).permutation(benign)[: len(benign) // 2]
    tested = np.setdiff1d(np.arange(len(data.data)), trained)
    truth = diagnosis[tested]
    labels = (truth == "malignant").astype(np.int64)

    detector = TollDetector(false_alarm_rate=0.1, random_state=0, verbose=verbose).fit(
        with_names(data.data[trained], names)
    )
    scores = detector.anomaly_score(with_names(data.data[tested], names))
    threshold = -detector.offset_
    alarms = scores > threshold
    most_anomalous = np.argsort(-scores, kind="stable")[:5]

    endings = (".csv", ".tollad", "-scores.csv", "-scores.png")
    table, model, scored, picture = (str(folder / f"breast-cancer{ending}") for ending in endings)
    columns = with_names(data.data, names).append_column("diagnosis", pa.array(diagnosis))
    write_tables(table, [columns], overwrite=True)
    source = Source("scikit-learn's breast cancer table", len(data.data), len(trained))
    detector.save(model, source=source)
    called = np.where(alarms, "anomaly", "normal")
    result = pa.table({"row": tested + 1, "score": scores, "verdict": called, "diagnosis": truth})
    write_tables(scored, [result], overwrite=True)
    drawn = importlib.util.find_spec("matplotlib") is not None
    if drawn:
        plots.score_distributions(scores[labels == 0], scores[labels == 1], threshold, picture)
    return Demo(
        auroc=metrics.auroc(labels, scores),
        average_precision=metrics.average_precision(labels, scores),
        false_alarm_rate=metrics.false_alarm_rate(labels, alarms),
        threshold=threshold,
        n_trained=len(trained),
        n_normal=int((labels == 0).sum()),
        n_anomalies=int(labels.sum()),
        most_anomalous=[(int(tested[i]) + 1, float(scores[i]), str(truth[i])) for i in most_anomalous],
        table=table,
        model=model,
        scores=scored,
        picture=picture if drawn else None,
    )
