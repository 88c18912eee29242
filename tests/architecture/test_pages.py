"""The pages a person reads: short lines, links that lead somewhere, a README of one sitting."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_lines_have_at_most_100_characters(page: Path) -> None:
    """Rows of tables may be longer: Markdown cannot break them."""
    lines = enumerate(page.read_text().splitlines(), 1)
    assert [n for n, line in lines if len(line) > 100 and not line.startswith("|")] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_to_a_file_leads_to_one(page: Path) -> None:
    links = re.findall(r'(?:\]\(|src=")(?!http)([^)#"]+)', page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_readme_has_at_most_10_kb() -> None:
    assert (ROOT / "README.md").stat().st_size <= 10_000


def test_contributing_names_tests_that_exist() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text()
    names = [name for name in re.findall(r"`([^` ]+)`", page) if re.match(r"tests/|test_", name)]
    assert len(names) > 30
    assert [
        name for name in names if not (list(ROOT.glob(name)) or list(ROOT.glob(f"tests/*/{name}")))
    ] == []
