"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from hypothesis import settings

# the first example of a run pays for imports, and cores may be shared: time says nothing about these tests
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Workers of a parallel run share the cores: more threads than cores only wait for each other."""
    torch.set_num_threads(1)


@pytest.fixture
def data_dir() -> Path:
    """Where whole data sets lie; a test that asks for it is skipped where there are none."""
    given = os.environ.get("ACTSCOPE_DATA_DIR")
    if not given:
        pytest.skip("needs whole data sets: set ACTSCOPE_DATA_DIR to the folder that holds mnist/ and cifar10/")
    return Path(given)
