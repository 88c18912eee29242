"""One small trained run for every test of the room."""

from pathlib import Path

import pytest
from helpers.cli import QUICK, Cli
from structalign.cache import CacheRoot, FeatureCache
from structalign.search.searcher import Searcher
from structalign.train.runs.run import Run


@pytest.fixture(scope="session")
def trained(shared: Cli, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two tasks, 16 test and 16 training clips. Read it; do not change it."""
    path = tmp_path_factory.mktemp("searched") / "run"
    shared.json("train", *QUICK, "--out", path)
    return path


@pytest.fixture
def cache(shared: Cli) -> FeatureCache:
    """The run's cache."""
    return CacheRoot(shared.home / "cache").find(None)


@pytest.fixture
def run(cache: FeatureCache, trained: Path) -> Run:
    """The run, opened for this test alone."""
    return Run.open(trained, cache, device="cpu")


@pytest.fixture
def searcher(run: Run) -> Searcher:
    """The run, ready to be searched."""
    return Searcher(run)
