"""Networks that are trained: a stack of M models, its batches, the one training loop and session, and its scoring.

It takes prepared rows as numbers; it knows no table, no file format but the checkpoint's, and no estimator.
"""
