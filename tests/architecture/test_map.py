"""docs/map.md names every file with what its docstring says."""

import runpy
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_map_is_made_from_the_docstrings() -> None:
    page = runpy.run_path(str(ROOT / "docs" / "make_map.py"))
    assert (ROOT / "docs" / "map.md").read_text() == page["make_map"](), "python docs/make_map.py"


def test_every_file_says_what_it_is_for() -> None:
    page = runpy.run_path(str(ROOT / "docs" / "make_map.py"))
    files = [file for room in page["ROOMS"] for file in (ROOT / room).rglob("*.py")]
    assert len(files) > 150
    assert [file for file in files if not page["first_sentence"](file)] == []
