"""Fixtures of the data tests."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real data beside the repository; tests that need what it lacks skip."""
    return Path(os.environ.get("SHOWTELL_SHARED", Path(__file__).resolve().parents[3] / "shared")) / "data"
