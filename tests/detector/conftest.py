"""What the tests of detectors share."""

from __future__ import annotations

import pytest
from detectors import KINDS, train

from tollad import TollDetector
from tollad.detector.fitted import read_fitted


@pytest.fixture(scope="session")
def fitted():
    """One fitted detector of each kind; tests copy what they change."""
    return {kind: train(kind) for kind in KINDS}


@pytest.fixture(params=[TollDetector.load, read_fitted], ids=["to fit", "to score"])
def load(request):
    """The two ways to read a model file."""
    return request.param
