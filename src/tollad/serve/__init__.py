"""Outputs of a fitted model: what other systems score with. They see a model file and nothing else, and never fit.

Each takes its own extra, imported when it is first used. `tollad.serve.runtime` imports neither torch nor scikit-learn.
"""
