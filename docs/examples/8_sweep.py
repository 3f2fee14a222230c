"""
Choosing beta without labels
============================

A sweep fits a detector for each beta and seed, all together, and measures three things that need no label.
None of them is detection itself; they tell which settings to keep away from.
"""

from sklearn.datasets import load_wine

from tollad import sweep
from tollad.plots import sweep_criteria

X, y = load_wine(return_X_y=True)
found = sweep.sweep(
    X[y != 2], betas=(0.1, 1.0, 10.0, 100.0), seeds=(0, 1), steps=200, corruption=None, n_members=1, neighbors=0
)
for name, meaning in sweep.CRITERIA.items():
    print(f"{name}: {meaning}")

sweep_criteria(found, "sweep.png")

# %%
# The candidates are fitted detectors, calibrated on the rows that were held out.

best = sweep.best_of(found, "shuffled")
print(f"beta {best.beta}:", {name: round(value, 3) for name, value in best.criteria.items()})
print("the third class of wine has", f"{(best.detector.predict(X[y == 2]) == -1).mean():.0%} anomalies")
