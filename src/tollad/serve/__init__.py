"""Scoring a model file in other systems: ONNX graphs, a web service, MLflow. Nothing here fits.

Each way has its own extra, which is imported at its first use. `tollad.serve.runtime` imports neither torch nor
scikit-learn.
"""
