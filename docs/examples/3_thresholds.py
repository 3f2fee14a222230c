"""
Thresholds without labels
=========================

Nobody knows the anomalies beforehand, so no threshold can be tuned on them. Three rules need normal rows
only.

- ``contamination`` cuts off a share of the *training* rows. These were learnt, so new rows lie above it more often.
- ``false_alarm_rate`` judges each row by scores of a model that did not learn it, and so holds for *new* normal rows.
- ``p_value`` and Benjamini-Hochberg bound the share of false alarms *among the alarms*.
"""

import matplotlib.pyplot as plt
import numpy as np

from tollad import TollDetector
from tollad.calibration import benjamini_hochberg

rng = np.random.default_rng(0)
mixing = rng.normal(size=(4, 12))


def normal_rows(n):
    """Rows near a plane of four dimensions."""
    return rng.normal(size=(n, 4)) @ mixing + 0.3 * rng.normal(size=(n, 12))


train, new = normal_rows(1000), normal_rows(2000)
anomalies = normal_rows(200) + 1.5 * rng.normal(size=(200, 12))

# %%
# How many of 2,000 new normal rows are called anomalous, where 5 % are asked for?

asked = np.array([0.01, 0.02, 0.05, 0.1, 0.15, 0.2])
detector = TollDetector(false_alarm_rate=0.05, steps=200, random_state=0).fit(train)
scores = detector.anomaly_score(new)
found = {}
for rule in ("contamination", "false_alarm_rate"):
    found[rule] = []
    for share in asked:
        detector.set_threshold(**{rule: share})
        found[rule].append(float((scores > -detector.offset_).mean()))

figure, axes = plt.subplots(figsize=(6.4, 3.8), layout="constrained")
axes.plot(asked, asked, color="0.6", linestyle="--", label="as asked")
for (rule, rates), colour in zip(found.items(), ("#d55e00", "#0072b2"), strict=True):
    axes.plot(asked, rates, "o-", color=colour, label=rule)
axes.set_xticks(asked, [f"{share:.0%}" for share in asked])
axes.yaxis.set_major_formatter("{x:.0%}")
axes.set(xlabel="share asked for", ylabel="share of new normal rows above")
axes.legend(frameon=False)

# %%
# Of many rows at once: alarms of which on average at most a tenth are false. That needs p-values that are small
# enough, and so more rows to compare with.

detector.calibrate(normal_rows(1000))
mixed = np.concatenate([new[:800], anomalies])
alarms = benjamini_hochberg(detector.p_value(mixed), 0.1)
print(f"{alarms.sum()} alarms, {alarms[:800].sum()} of them false; {alarms[800:].mean():.0%} of the anomalies found")
