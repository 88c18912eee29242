"""Hashes are remembered while a file is as it was, and found anew when it is not."""

import hashlib
import os
import time
from pathlib import Path

import pytest
from structalign.core import hashing
from structalign.core.hashing import FileHashCache


def old(path: Path, body: bytes, age: float = 100) -> None:
    path.write_bytes(body)
    os.utime(path, (time.time() - age, time.time() - age))


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    seen: list[str] = []
    hash_ = hashing.sha256_of

    def spy(path: Path) -> str:
        seen.append(path.name)
        return hash_(path)

    monkeypatch.setattr(hashing, "sha256_of", spy)
    return seen


def test_read_once(tmp_path: Path, reads: list[str]) -> None:
    old(tmp_path / "a", b"1")
    memo = tmp_path / "memo" / "m.json"
    first = FileHashCache(memo, tmp_path).of(["a", "gone"])
    assert first == {"a": hashlib.sha256(b"1").hexdigest(), "gone": "missing"}
    assert FileHashCache(memo, tmp_path).of(["a", "gone"]) == first and reads == ["a"]


def test_a_change_is_noticed(tmp_path: Path, reads: list[str]) -> None:
    memo = tmp_path / "m.json"
    old(tmp_path / "a", b"1")
    FileHashCache(memo, tmp_path).of(["a"])
    old(tmp_path / "a", b"2", age=50)
    assert FileHashCache(memo, tmp_path).of(["a"])["a"] == hashlib.sha256(b"2").hexdigest()
    assert reads == ["a", "a"]


def test_a_file_changed_a_moment_ago_is_not_remembered(tmp_path: Path, reads: list[str]) -> None:
    """Its clock may be too coarse to show the next change."""
    memo = tmp_path / "m.json"
    (tmp_path / "a").write_bytes(b"1")
    FileHashCache(memo, tmp_path).of(["a"])
    FileHashCache(memo, tmp_path).of(["a"])
    assert reads == ["a", "a"]


@pytest.mark.parametrize(
    "body",
    ["", "[]", '{"folder": "/elsewhere", "files": {"a": [1, 1, "wrong"]}}', '{"files": {"a": 3}}'],
)
def test_a_memo_that_is_broken_or_of_another_folder_is_ignored(tmp_path: Path, body: str) -> None:
    old(tmp_path / "a", b"1")
    (tmp_path / "m.json").write_text(body)
    assert (
        FileHashCache(tmp_path / "m.json", tmp_path).of(["a"])["a"]
        == hashlib.sha256(b"1").hexdigest()
    )
