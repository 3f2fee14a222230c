"""
Export: scores without torch
============================

A detector with all of its preprocessing becomes one ONNX graph. ``tollad.runtime`` scores by it and imports
neither torch nor scikit-learn; so does any other ONNX runtime, also in a browser.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from tollad.runtime import Runtime

from tollad import TollDetector

rng = np.random.default_rng(0)
rows = rng.normal(size=(600, 3)) @ rng.normal(size=(3, 10)) + 0.1 * rng.normal(size=(600, 10))
detector = TollDetector(steps=150, false_alarm_rate=0.05, random_state=0).fit(rows[:400])

folder = Path(tempfile.mkdtemp())
detector.to_onnx(folder / "model.onnx")
runtime = Runtime.load(folder / "model.onnx")

# %%
# Labels, scores and p-values are those of the detector.

new = np.concatenate([rows[400:], rng.normal(size=(50, 10))])
answers = runtime.score(new)
scores = detector.anomaly_score(new)
print({name: values.shape for name, values in answers.items()})
print("largest relative difference", f"{np.abs(answers['anomaly_score'] / scores - 1).max():.0e}")
print("labels that differ", (answers["label"] != detector.predict(new)).sum())

figure, axes = plt.subplots(figsize=(4.4, 3.6), layout="constrained")
axes.plot(scores, answers["anomaly_score"], ".", color="#0072b2")
axes.set(xlabel="score of the detector", ylabel="score of the graph")

# %%
# From the command line, and by HTTP with a page to drop files on:
#
# .. code-block:: none
#
#     tollad export model.tollad -o model.onnx
#     tollad score model.onnx new.csv -o scores.csv
#     tollad serve model.tollad
