"""
A table: from normal rows to scores
===================================

A detector learns from normal rows alone, and says how unlike them each new row is.

The data are scikit-learn's breast cancer table: 30 measurements of benign and malignant tumours. Half of the
benign rows are learnt from; the labels serve only to look at the result.
"""

import numpy as np
from sklearn.datasets import load_breast_cancer

from tollad import TollDetector, metrics
from tollad.plots import score_distributions

X, y = load_breast_cancer(return_X_y=True)
benign, malignant = X[y == 1], X[y == 0]

detector = TollDetector(false_alarm_rate=0.1, steps=150, random_state=0).fit(benign[:178])

# %%
# High scores are anomalous. The threshold was set so that, on average, at most a tenth of new benign rows lies
# above it.

normal_scores, scores = detector.anomaly_score(benign[178:]), detector.anomaly_score(malignant)
labels = np.repeat([0, 1], [len(normal_scores), len(scores)])
print(f"AUROC {metrics.auroc(labels, np.concatenate([normal_scores, scores])):.3f}")
print(f"{(detector.predict(benign[178:]) == -1).mean():.1%} of new benign rows are called anomalies")
print(f"{(detector.predict(malignant) == -1).mean():.1%} of the malignant ones are")

score_distributions(normal_scores, scores, -detector.offset_, "scores.png")
