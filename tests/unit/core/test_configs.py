"""YAML that people write is read as meant, or refused in one line that says where."""

import codecs
from pathlib import Path

import pytest
from structalign.core.configs import parse_yaml, read_yaml
from structalign.core.errors import StructAlignError


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[", "line 1, column 2"),
        ("!!tag", "could not determine a constructor"),
        ("!!python/name:os.system", "could not determine a constructor"),
        ("{a: 1, a: 2}", r"'a' stands twice \(line 1, column 8\)"),
        ("a: 1\nb: 2\na: 3\n", r"'a' stands twice \(line 3, column 1\)"),
        ("2024-13-45", "month must be in 1..12"),
        ("a: b: c", "mapping values are not allowed"),
        ("\x07", "special characters are not allowed"),
        ("*nowhere", "undefined alias"),
        ("{[]: 1}", "unhashable"),
        ("[" * 5000, "nested too deep"),
    ],
)
def test_refused_in_one_line(text: str, message: str) -> None:
    with pytest.raises(StructAlignError, match=message) as raised:
        parse_yaml(text, "mine.yaml")
    assert str(raised.value).startswith("mine.yaml is not YAML: ")
    assert "\n" not in str(raised.value)


def test_a_merged_key_may_be_given_again() -> None:
    text = "a: &a {x: 1, y: 1}\nb: &b {<<: *a, x: 2}\nc: {<<: *b, x: 3}"
    assert parse_yaml(text, "")["c"] == {"x": 3, "y": 1}


@pytest.mark.parametrize(
    "body",
    [
        b"train: {epochs: 3}",
        codecs.BOM_UTF8 + b"train: {epochs: 3}\r\n",
        "train: {epochs: 3}\n".encode("utf-16"),
    ],
)
def test_byte_order_marks(tmp_path: Path, body: bytes) -> None:
    (tmp_path / "a.yaml").write_bytes(body)
    assert read_yaml(tmp_path / "a.yaml") == {"train": {"epochs": 3}}


@pytest.mark.parametrize("body", [b"words", b"[1, 2]", b"caf\xe9: 1"])
def test_what_is_no_mapping_is_refused_with_its_file(tmp_path: Path, body: bytes) -> None:
    (tmp_path / "a.yaml").write_bytes(body)
    with pytest.raises(StructAlignError, match=r"a\.yaml"):
        read_yaml(tmp_path / "a.yaml")


def test_a_folder_is_no_yaml(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").mkdir()
    with pytest.raises(StructAlignError, match=r"a\.yaml cannot be read"):
        read_yaml(tmp_path / "a.yaml")
