"""Write docs/map.md: every room, folder and file with the first sentence of its docstring."""

import ast
import textwrap
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROOMS = (
    "core", "backbones", "cache", "extract", "train", "evaluate", "search", "experiments",
    "benchmarks",
)  # fmt: skip
HEAD = """# The map: every file, and what it is for

Written by `python docs/make_map.py` from the modules' docstrings; a test compares them. Rooms
stand in the order of imports: each may use those above it.
"""


def first_sentence(file: Path) -> str:
    """The first paragraph of a module's docstring, up to its first full stop."""
    text = ast.get_docstring(ast.parse(file.read_text())) or ""
    paragraph = " ".join(text.split("\n\n")[0].split())
    return paragraph.split(". ")[0].rstrip(".")


def entries(folder: Path, depth: int) -> Iterator[str]:
    """A line for a folder, its files, and its folders."""
    yield entry(f"{folder.name}/", folder / "__init__.py", depth)
    for file in sorted(folder.glob("*.py")):
        if file.name != "__init__.py":
            yield entry(file.name, file, depth + 1)
    for inner in sorted(path.parent for path in folder.glob("*/__init__.py")):
        yield from entries(inner, depth + 1)


def entry(name: str, file: Path, depth: int) -> str:
    """``- name: what it is``, at most 100 characters a line."""
    text, indent = f"- `{name}` {first_sentence(file)}", "  " * depth
    return textwrap.fill(text, 100, initial_indent=indent, subsequent_indent=f"{indent}  ")


def make_map() -> str:
    """The page."""
    files = ["__init__.py", "verbs.py", "cli.py"]
    lines = [HEAD, *(line for room in ROOMS for line in entries(ROOT / room, 0))]
    return "\n".join([*lines, *(entry(name, ROOT / name, 0) for name in files)]) + "\n"


if __name__ == "__main__":
    (ROOT / "docs" / "map.md").write_text(make_map())
