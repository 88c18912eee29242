"""The house: imports run one way only, and every module imports."""

import ast
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ALLOWED = {
    "cache": {"cache"},
    "extract": {"extract", "cache"},
    "train": {"train", "cache"},
    "evaluate": {"evaluate", "train", "cache"},
    "tools": {"tools", "evaluate", "train", "extract", "cache"},
}
ROOMS = {*ALLOWED, "cli", "tests"}
MODULES = sorted(path.relative_to(ROOT) for room in ALLOWED for path in (ROOT / room).rglob("*.py"))


def imported(path: Path) -> set[str]:
    """Top-level names that a file imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}:{node.lineno} imports relatively"
            names.add(node.module or "")
    return {name.split(".")[0] for name in names}


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_imports_run_the_way_the_house_is_drawn(path: Path) -> None:
    assert imported(path) & ROOMS <= ALLOWED[path.parts[0]]


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_every_module_imports(path: Path) -> None:
    importlib.import_module(".".join(path.with_suffix("").parts).removesuffix(".__init__"))


def test_nothing_imports_the_command_line() -> None:
    assert not [path for path in MODULES if "cli" in imported(path)]
