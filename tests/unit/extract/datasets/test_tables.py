"""Tables as spreadsheets and scripts save them are read whole, or refused with their line."""

import codecs
from pathlib import Path

import pytest
from structalign.core.errors import StructAlignError
from structalign.extract.datasets.tables import csv_rows, json_rows

TEXT = 'id,text\r\n\r\n1,"über, Brücken"\r\n2,"two\r\nlines"\r\n , \r\n\r\n'


@pytest.mark.parametrize(
    "body",
    [
        TEXT.encode(),
        codecs.BOM_UTF8 + TEXT.encode(),
        codecs.BOM_UTF16_LE + TEXT.encode("utf-16-le"),
        codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
    ],
)
def test_what_spreadsheets_save(tmp_path: Path, body: bytes) -> None:
    (tmp_path / "a.csv").write_bytes(body)
    rows = list(csv_rows(tmp_path / "a.csv", ("id", "text"), ""))
    assert rows == [
        (3, {"id": "1", "text": "über, Brücken"}), (4, {"id": "2", "text": "two\r\nlines"}),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"\nid;text\n1;one, two\n", "line 2: semicolons stand between the columns"),
        (b"sep=;\nid;text\n1;one\n", "line 1: 'sep=;' is a spreadsheet's; save with commas"),
        (b'"id"\t"text"\n1\tone\n', "tabs stand between the columns"),
        (b"id|text\n1|one\n", "vertical bars stand between the columns"),
        (b"id,words\n1,one\n", "line 1: no column 'text' among id, words; take another"),
        (b"id,text,text\n1,one,two\n", "line 1: column 'text' stands twice"),
        (b"id,text\n1,one\n2\n", "line 3: 1 fields where the header has 2"),
        (b"\r\n", "is empty; take another"),
        ("id,text\n1,ü\n".encode("latin-1"), "is not UTF-8 text"),
        ("id,text\n1,one\n".encode("utf-16-le"), "no column 'id'"),
        (codecs.BOM_UTF16_LE + b"odd", "is not UTF-8 text"),
    ],
)
def test_refused(tmp_path: Path, body: bytes, message: str) -> None:
    (tmp_path / "a.csv").write_bytes(body)
    with pytest.raises(StructAlignError, match=rf"a\.csv.*{message}"):
        list(csv_rows(tmp_path / "a.csv", ("id", "text"), "take another"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[{"id": 1}]', "is a JSON array; write one object per line"),
        ('{"id": 1}\n{"id": 1, "id": 2}', "line 2: not JSON: 'id' stands twice"),
        ("[" * 9, "is a JSON array"),
        ('{"id": ' + "[" * 100_000, "line 1: not JSON: JSON nested too deep"),
        ('{"id": true}', "line 1: 'id' is true"),
        ('"words"', "line 1: not a JSON object"),
    ],
)
def test_json_lines_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.jsonl").write_text(text)
    with pytest.raises(StructAlignError, match=message):
        list(json_rows(tmp_path / "a.jsonl", ("id",)))
