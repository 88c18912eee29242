"""The set of golden numbers: STRUCTALIGN_REFERENCE, else the one that is committed."""

import os
from pathlib import Path

import pytest
from helpers.golden import Golden


@pytest.fixture(scope="session")
def golden() -> Golden:
    return Golden(Path(os.environ.get("STRUCTALIGN_REFERENCE") or Path(__file__).parent / "golden"))
