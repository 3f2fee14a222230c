"""
Streaming: a score with each step
=================================

A causal detector judges a step at once, by the window that it ends.
"""

import matplotlib.pyplot as plt
import numpy as np

from tollad import SeriesDetector

rng = np.random.default_rng(0)
t = np.arange(1800)
series = np.sin(t / 6) + 0.1 * rng.normal(size=1800)
series[1500:1512] += np.linspace(0, 2, 12)  # a drift that begins slowly

detector = SeriesDetector(
    window=24, causal=True, network="mlp", n_members=1, steps=150, contamination=0.001, random_state=0
).fit(series[:1000])

# %%
# One step after another, as they arrive.

seen = np.arange(1400, 1600)
answers = [detector.update(step) for step in series[seen]]
scores = np.concatenate([answer.scores for answer in answers])
alarms = np.concatenate([answer.alarms for answer in answers])
print("the drift begins at step 1500; the first alarms are at", seen[alarms][:3])

figure, (above, below) = plt.subplots(2, 1, figsize=(7.2, 4), sharex=True, layout="constrained")
above.plot(seen, series[seen], color="#0072b2", linewidth=1)
above.set_ylabel("value")
below.plot(seen, scores, color="#0072b2", linewidth=1)
below.axhline(answers[0].thresholds[0], color="0.5", linestyle="--", linewidth=1)
below.plot(seen[alarms], scores[alarms], "o", color="#d55e00", markersize=4)
below.set(ylabel="score", xlabel="step")
