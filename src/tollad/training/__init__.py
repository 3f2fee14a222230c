"""Networks that are trained: a stack of M models, its batches, the one training loop and session, and its scoring.

It takes prepared rows as numbers; it knows no table, no file format but the checkpoint's, and no estimator.
"""

import os

import torch

# A forked process lacks the threads of its parent, and torch would wait for them forever. So it computes with one.
os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))
