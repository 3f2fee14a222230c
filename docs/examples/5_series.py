"""
A series: events and their reasons
==================================

A series is cut into windows, and the windows that cover a time step give its score. Successive steps above
the threshold are one event.
"""

import numpy as np

from tollad import SeriesDetector
from tollad.plots import scored_series

rng = np.random.default_rng(0)
t = np.arange(2000)
series = np.stack([np.sin(t / 8), 0.7 * np.cos(t / 4)], 1) + 0.08 * rng.normal(size=(2000, 2))
series[1450:1470, 0] = 0.4  # a sensor that stands still
series[1750, 1] += 2.5  # a single blow

detector = SeriesDetector(window=32, network="mlp", n_members=1, steps=150, contamination=0.001, random_state=0).fit(
    series[:1000]
)

# %%
# Each event says from where to where, which channel, and what was expected there.

new = series[1000:]
events = detector.events(new)
for event in events:
    found = f"{event.channel} was {event.seen:.2f}, expected about {event.expected:.2f}"
    print(f"steps {event.begin} to {event.end}, score {event.score:.2f}: {found}")

# %%
# The series, the scores with their threshold, and the highest event again from near.

judged = detector.judge(new)
causes = [event.channel for event in events]
names = ["x1", "x2"]
scored_series(new, judged.scores, judged.thresholds, "series.png", names=names, alarms=judged.alarms, causes=causes)
