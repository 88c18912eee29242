"""A hash is kept while its file is unchanged, and computed again once it has changed."""

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
    stored = tmp_path / "hashes" / "m.json"
    first = FileHashCache(stored, tmp_path).of(["a", "gone"])
    assert first == {"a": hashlib.sha256(b"1").hexdigest(), "gone": "missing"}
    assert FileHashCache(stored, tmp_path).of(["a", "gone"]) == first and reads == ["a"]


def test_a_change_is_noticed(tmp_path: Path, reads: list[str]) -> None:
    stored = tmp_path / "m.json"
    old(tmp_path / "a", b"1")
    FileHashCache(stored, tmp_path).of(["a"])
    old(tmp_path / "a", b"2", age=50)
    assert FileHashCache(stored, tmp_path).of(["a"])["a"] == hashlib.sha256(b"2").hexdigest()
    assert reads == ["a", "a"]


def test_the_hash_of_a_file_changed_just_before_is_not_kept(
    tmp_path: Path, reads: list[str]
) -> None:
    """The file system's clock may be too coarse to show the next change."""
    stored = tmp_path / "m.json"
    (tmp_path / "a").write_bytes(b"1")
    FileHashCache(stored, tmp_path).of(["a"])
    FileHashCache(stored, tmp_path).of(["a"])
    assert reads == ["a", "a"]


@pytest.mark.parametrize(
    "body",
    ["", "[]", '{"folder": "/elsewhere", "files": {"a": [1, 1, "wrong"]}}', '{"files": {"a": 3}}'],
)
def test_a_file_of_hashes_that_is_broken_or_of_another_folder_is_ignored(
    tmp_path: Path, body: str
) -> None:
    old(tmp_path / "a", b"1")
    (tmp_path / "m.json").write_text(body)
    assert (
        FileHashCache(tmp_path / "m.json", tmp_path).of(["a"])["a"]
        == hashlib.sha256(b"1").hexdigest()
    )
