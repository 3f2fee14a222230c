"""Tables of ADBench: NPZ files with arrays X and y."""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray

from tollad.io.damage import DAMAGED


def read_npz(path: str) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return rows, (n, d), and labels, (n,) of 0 and 1 = anomaly, of a table of ADBench."""
    what = "an NPZ file with arrays X, real numbers (n, d), and y, (n,), of 0 and 1 = anomaly"
    if not os.path.isfile(path):
        raise FileNotFoundError(f"there is no file {path}; give the path of {what}")
    # Opened here: np.load does not close a file that is no zip archive.
    with open(path, "rb") as raw:
        try:
            with np.load(raw, allow_pickle=False) as file:
                arrays = file["X"], file["y"]
            if any(map(np.iscomplexobj, arrays)):
                raise ValueError("numbers must be real")
            rows, labels = np.asarray(arrays[0], float), np.asarray(arrays[1], float).reshape(-1)
        except (*DAMAGED, OSError) as error:
            raise ValueError(f"{path} is not {what}") from error
    if rows.ndim != 2 or not rows.shape[1] or len(rows) != len(labels) or not np.isin(labels, (0, 1)).all():
        raise ValueError(f"{path} is not {what}")
    if not np.isfinite(rows).all():
        raise ValueError(f"{path} holds values that are missing or infinite; the table must be complete")
    if (labels == 0).sum() < 2 or not labels.any():
        raise ValueError(
            f"{path} holds {(labels == 0).sum()} normal rows and {int(labels.sum())} anomalies; it needs 2 and 1"
        )
    return rows, labels.astype(np.int64)
