"""Training: a stack of M models, its batches, the loop and session that train it, and its scoring.

Rows come in as numbers, prepared already. This room knows no table, no estimator, and no file but the checkpoint.
"""

import os

import torch

# A forked process lacks the threads of its parent, and torch would wait for them forever. So it computes with one.
os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))
