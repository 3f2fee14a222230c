"""Code that MLflow stores beside a model file and runs to load the model, see `tollad.serve.mlflow`."""

from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel

from tollad.serve.answers import answers, load


class Pyfunc(PythonModel):
    """A model file with the methods that MLflow calls."""

    def load_context(self, context: Any) -> None:
        """Load the model file."""
        self._detector = load(context.artifacts["model"])

    # Without type hints: MLflow would make a signature of them, and the model has its own.
    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
        """Return the results of `tollad.serve.answers.answers` as a frame, with a row for each sample."""
        return pd.DataFrame(answers(self._detector, model_input))


set_model(Pyfunc())
