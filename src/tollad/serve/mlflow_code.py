"""Code that MLflow keeps beside a model file, and runs when it loads the model: see `tollad.serve.mlflow`."""

from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel

from tollad.serve.answers import answers, load


class Pyfunc(PythonModel):
    """A model file as MLflow calls it."""

    def load_context(self, context: Any) -> None:
        """Load the model file."""
        self._detector = load(context.artifacts["model"])

    # Without types: MLflow would make its signature of them, and the model has one of its own.
    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
        """Return a frame of `tollad.serve.answers.answers`, a row a sample."""
        return pd.DataFrame(answers(self._detector, model_input))


set_model(Pyfunc())
