"""Scoring a model file in other systems: ONNX graphs, a web service, MLflow. Nothing here fits.

Each takes its own extra, imported when it is first used. `tollad.serve.runtime` imports neither torch nor scikit-learn.
"""
