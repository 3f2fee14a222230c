"""What the tests of detectors share."""

from __future__ import annotations

import pytest
from detectors import KINDS, train


@pytest.fixture(scope="session")
def fitted():
    """One fitted detector of each kind; tests copy what they change."""
    return {kind: train(kind) for kind in KINDS}
