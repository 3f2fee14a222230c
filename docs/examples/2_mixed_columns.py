"""
Mixed columns: numbers, categories, dates, gaps
===============================================

A frame goes in as it is. What each column holds is found out at the fit, and a missing value is a value like
others.
"""

import numpy as np
import pandas as pd

from tollad import TollDetector
from tollad.plots import reason_bars


def payments(n, seed):
    """Amounts that depend on the kind of shop, by day."""
    rng = np.random.default_rng(seed)
    shop = rng.choice(["grocer", "fuel", "travel"], n, p=[0.6, 0.3, 0.1])
    usual = pd.Series(shop).map({"grocer": 30.0, "fuel": 60.0, "travel": 400.0})
    frame = pd.DataFrame(
        {
            "amount": (usual * rng.lognormal(0, 0.3, n)).round(2),
            "shop": shop,
            "country": rng.choice(["DE", "FR", None], n, p=[0.8, 0.15, 0.05]),
            "day": pd.Timestamp("2025-01-01") + pd.to_timedelta(rng.integers(0, 365, n), unit="D"),
        }
    )
    frame.loc[rng.random(n) < 0.05, "amount"] = np.nan
    return frame


detector = TollDetector(false_alarm_rate=0.02, steps=200, random_state=0).fit(payments(800, seed=0))
for column in detector.columns_:
    print(column.name, column.kind)

# %%
# Five rows, two of which are odd: groceries for 400, as much as a journey costs, and a country that was never
# seen.

new = payments(5, seed=1)
new.loc[1, ["amount", "shop"]] = 400.0, "grocer"
new.loc[3, "country"] = "XX"
print(new.assign(score=detector.anomaly_score(new).round(2), anomaly=detector.predict(new) == -1))

# %%
# Why: each column's part in the score, with what was expected in its place.

explanation = detector.explain(new)
for row in (1, 3):
    print(explanation.reasons(row)[0])
reason_bars(explanation, 1, "reasons.png", title="groceries for 400")
