"""`TollDetector`, the scikit-learn estimator, with what it is made of and what it tells of a row.

It stands on `training`, `tables` and `calibration`; it knows no benchmark and no command line.
"""
