"""A folder and a URL give the same bytes, and say the same of what is missing or unreadable."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.http_files import served
from structalign.cache import StructAlignError
from structalign.cache.store import Local, Remote, Store, is_url, open_store

BODY = bytes(range(256)) * 4


@pytest.fixture(params=["folder", "url"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    (tmp_path / "tokens").mkdir()
    (tmp_path / "tokens" / "c.0").write_bytes(BODY)
    if request.param == "folder":
        yield open_store(tmp_path)
        return
    with served(tmp_path) as address:
        yield open_store(address)


def test_whole_files(store: Store) -> None:
    assert store.read("tokens/c.0") == BODY
    assert store.read("tokens/c.1") is None


def test_byte_ranges(store: Store) -> None:
    with store.open("tokens/c.0") as file:
        assert file.tail(7) == BODY[-7:]
        first, second = bytearray(10), bytearray(3)
        assert file.read_into([first, second], 5) == 13
        assert first == BODY[5:15] and second == BODY[15:18]
        assert file.read_into([first], len(BODY) - 4) == 4 and first[:4] == BODY[-4:]


def test_a_missing_file_is_noticed_by_the_first_read(store: Store) -> None:
    with pytest.raises(FileNotFoundError), store.open("tokens/c.1") as file:
        file.tail(7)


def test_a_local_folder_with_the_files(store: Store) -> None:
    weights = "frozen.safetensors"
    if isinstance(store, Local):
        (store.path / weights).write_bytes(BODY)
    assert (store.as_folder({weights: BODY}) / weights).read_bytes() == BODY


def test_names(tmp_path: Path) -> None:
    for name in ("b", "a/b"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert Local(tmp_path).names() == ["a/b", "b"]
    assert is_url("s3://lab/x") and not is_url(tmp_path)


def test_what_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(StructAlignError, match=r"^cannot read .*pipe: OSError: .*not a plain file"):
        Local(tmp_path).read("pipe")  # and does not wait for a writer
    file = Remote("http://127.0.0.1:9").open("x")
    with pytest.raises(StructAlignError, match=r"^cannot read http://127\.0\.0\.1:9/x: "):
        file.tail(7)
