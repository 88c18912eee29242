"""Tables that people write: CSV and JSON Lines as rows by column, each with its line."""

import csv
import json
from collections.abc import Iterator, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

from ...core.errors import StructAlignError
from ...core.files import parse_json, read_user_text

OTHERS = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}
Rows = Iterator[tuple[int, dict[str, str]]]


def csv_rows(file: Path, needed: Sequence[str], source: str) -> Rows:
    """The rows of a CSV file with a header: the line that each begins at, and its values.

    Lines without a value, as spreadsheets leave them at the end, are passed over.

    Args:
        file: UTF-8 text, or UTF-16 with a byte order mark.
        needed: columns that have to be there; others may be.
        source: what to do about a missing column.

    Raises:
        StructAlignError: an empty file, another separator, a missing column or one that stands
            twice, a row of another length than the header, or with a quote left open.
    """
    text = read_user_text(file)
    begin = len(text) - len(text.lstrip())
    where = f"{file}, line {text.count(chr(10), 0, begin) + 1}"
    _check_separator(where, text[begin:].partition("\n")[0], needed)
    reader = csv.reader(StringIO(text, newline=""), strict=True)
    header: list[str] = []
    begins = 1
    try:
        for row in reader:
            line, begins = begins, reader.line_num + 1
            if not any(map(str.strip, row)):
                continue
            if not header:
                header = [name.strip() for name in row]
                _check_header(f"{file}, line {line}", header, needed, source)
                continue
            if len(row) != len(header):
                raise StructAlignError(
                    f"{file}, line {line}: {len(row)} fields where the header has {len(header)}; "
                    "put a text that has a comma into double quotes"
                )
            yield line, dict(zip(header, row, strict=True))
    except csv.Error as error:
        raise StructAlignError(
            f"{file}, line {begins}: a double quote is left open or is not doubled ({error})"
        ) from error
    if not header:
        raise StructAlignError(f"{file} is empty; {source}")


def _check_separator(where: str, first: str, needed: Sequence[str]) -> None:
    if first.lower().startswith("sep="):
        raise StructAlignError(f"{where}: '{first.strip()}' is a spreadsheet's; save with commas")
    found = {s: {part.strip(' "') for part in first.split(s)} & set(needed) for s in (",", *OTHERS)}
    for separator, name in OTHERS.items():
        if len(found[separator]) > max(1, len(found[","])):
            raise StructAlignError(f"{where}: {name} stand between the columns; save with commas")


def _check_header(where: str, header: list[str], needed: Sequence[str], source: str) -> None:
    missing = [name for name in needed if name not in header]
    if missing:
        raise StructAlignError(
            f"{where}: no column '{missing[0]}' among {', '.join(header)[:100]}; {source}"
        )
    if twice := [name for name in header if name and header.count(name) > 1]:
        raise StructAlignError(f"{where}: column '{twice[0]}' stands twice; rename one")


def json_rows(file: Path, columns: Sequence[str]) -> Rows:
    """The objects of a JSON Lines file: the line of each, and its values as texts.

    Raises StructAlignError: a line that is no JSON object or names a key twice, or a value of
    ``columns`` that is neither text nor number.
    """
    text = read_user_text(file)
    if text.lstrip().startswith("["):
        raise StructAlignError(f"{file} is a JSON array; write one object per line, without [ ]")
    for line, part in enumerate(StringIO(text), 1):
        if not part.strip():
            continue
        try:
            body = parse_json(part, unique=True)
        except ValueError as error:
            raise StructAlignError(f"{file}, line {line}: not JSON: {error}") from error
        if not isinstance(body, dict):
            raise StructAlignError(f"{file}, line {line}: not a JSON object")
        for key in columns:
            if not _is_plain(body.get(key)):
                raise StructAlignError(
                    f"{file}, line {line}: '{key}' is {json.dumps(body[key])[:40]}; it must be a "
                    "text or a number, one row per caption"
                )
        yield line, {key: "" if value is None else str(value) for key, value in body.items()}


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | float | None) and not isinstance(value, bool)
