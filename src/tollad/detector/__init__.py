"""`TollDetector`, the scikit-learn estimator, with its parts, its model file and its reasons.

It stands on `training`, `tables` and `calibration`; it knows no benchmark and no command line.
"""
