"""Whoever checks a run's configuration does it under the lease; a dead holder is succeeded."""

import json
from pathlib import Path

import pytest
from helpers.cli import Cli
from helpers.runs import quick_run, shared_cache, sign
from structalign.core.errors import StructAlignError
from structalign.core.lease import Lease
from structalign.train.loop import train_stream
from structalign.train.runs.create import create_run, extend_run
from structalign.train.runs.folder import acquire_lease, read_run_config
from structalign.train.runs.run import Run


def new_run(shared: Cli, folder: Path, seed: int, overwrite: bool = False) -> Run:
    settings = {"epochs": 1}
    return create_run(
        shared_cache(shared), "finetune", 2, seed, folder, overwrite=overwrite, device="cpu",
        settings=settings, log=print,
    )  # fmt: skip


def test_a_configuration_is_written_under_the_lease(shared: Cli, tmp_path: Path) -> None:
    """Between one process's look at the folder and its writing, another may have begun there."""
    with acquire_lease(tmp_path / "run", "wait"):
        with pytest.raises(StructAlignError, match="is being trained by process"):
            new_run(shared, tmp_path / "run", 1)
        assert not (tmp_path / "run/config.json").exists()


def test_a_run_replaced_before_it_trains_is_refused(shared: Cli, tmp_path: Path) -> None:
    """Else it would be trained with one seed and recorded with the other."""
    first = new_run(shared, tmp_path / "run", 0)
    second = new_run(shared, tmp_path / "run", 1, overwrite=True)
    with pytest.raises(StructAlignError, match="was changed by another process meanwhile"):
        next(train_stream(first))
    assert not (tmp_path / "run/sessions.jsonl").exists()
    next(train_stream(second))
    assert read_run_config(tmp_path / "run")["seed"] == 1


def test_an_overwritten_run_leaves_nothing(shared: Cli, tmp_path: Path) -> None:
    quick_run(shared_cache(shared), tmp_path / "run")
    new_run(shared, tmp_path / "run", 1, overwrite=True)
    assert [file.name for file in (tmp_path / "run").iterdir()] == ["config.json"]


def test_append_looks_at_the_folder_under_the_lease(shared: Cli, tmp_path: Path) -> None:
    """A run opened before another process's append must not write that append away."""
    run = quick_run(shared_cache(shared), tmp_path / "run")
    stored = read_run_config(run.path)
    other = {**stored["parts"][0], "tasks": [["later"]]}
    sign(run.path / "config.json", parts=[*stored["parts"], other])
    with pytest.raises(StructAlignError, match=r"before; append other clips|tasks left"):
        extend_run(run, run.cache, 1, None, print)
    assert len(read_run_config(run.path)["parts"]) == 2


@pytest.mark.parametrize("content", ["", "{", '{"host": "here"}', '{"host": "x", "pid": 1}'])
def test_a_lease_of_nobody_is_taken_over_and_said(
    tmp_path: Path, content: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty or half file, another boot, host or container: nothing says that it has ended."""
    monkeypatch.setattr(Lease.__init__, "__defaults__", (0.1, 0.3))
    (tmp_path / "lease.0001").write_text(content)
    said: list[str] = []
    with acquire_lease(tmp_path, "wait", said.append) as lease:
        assert lease.number == 2
    assert "waiting up to" in said[0] and "taken over" in said[1]


def test_a_half_lease_with_this_boot_is_taken_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Lease.__init__, "__defaults__", (0.1, 0.3))
    state = Lease(tmp_path, "lease")._state(0)
    (tmp_path / "lease.0001").write_text(json.dumps({**state, "pid": None}))
    with acquire_lease(tmp_path, "wait", print) as lease:
        assert lease.number == 2
