"""docs/towers.md lists every model of open_clip with weights as the code accepts it."""

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow(20)
def test_the_table_of_towers_is_made_from_the_code() -> None:
    page = runpy.run_path(str(ROOT / "docs" / "make_towers.py"))
    text = (ROOT / "docs" / "towers.md").read_text()
    assert text == page["make_page"](), "python docs/make_towers.py"
