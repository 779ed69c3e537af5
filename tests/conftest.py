"""What holds for all tests."""

import logging
import os

import pytest

os.environ.setdefault("MKL_CBWR", "AUTO")  # as for training, whose processes are compared; heeded before the first use


@pytest.fixture(autouse=True)
def quiet_again():
    """Takes back what the command line does to logging."""
    root = logging.getLogger()
    before = root.handlers[:]
    yield
    root.handlers[:] = before
    logging.getLogger("harmonize_composite.training").setLevel(logging.NOTSET)
