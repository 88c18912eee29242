"""The house: rooms import each other relatively and one way only, and every module imports."""

import ast
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ALLOWED = {
    "core": {"core"},
    "backbones": {"backbones", "core"},
    "cache": {"cache", "backbones", "core"},
    "extract": {"extract", "cache", "backbones", "core"},
    "train": {"train", "cache", "backbones", "core"},
    "evaluate": {"evaluate", "train", "cache", "backbones", "core"},
    "search": {"search", "evaluate", "train", "extract", "cache", "backbones", "core"},
    "experiments": {"experiments", "evaluate", "train", "extract", "cache", "backbones", "core"},
}
ALLOWED["benchmarks"] = {*ALLOWED, "benchmarks"}  # but not tests: no installation has them
ROOMS = {*ALLOWED, "cli", "tests"}
MODULES = sorted(path.relative_to(ROOT) for room in ALLOWED for path in (ROOT / room).rglob("*.py"))


def imported(path: Path) -> set[str]:
    """What a file imports of this project, anywhere in it, as dotted names below the package."""
    names: set[str] = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level:
            base = path.parts[: len(path.parts) - node.level]
            inside = [*base, *(node.module or "").split(".")] if node.module else list(base)
            names |= {".".join([*inside, alias.name]) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    foreign = {name for name in names if name.split(".")[0] == "structalign"}
    assert not foreign, f"{path} imports {foreign}: inside the package imports are relative"
    return names


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_imports_run_the_way_the_house_is_drawn(path: Path) -> None:
    assert {name.split(".")[0] for name in imported(path)} & ROOMS <= ALLOWED[path.parts[0]]


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_every_module_imports(path: Path) -> None:
    name = ".".join(path.with_suffix("").parts).removesuffix(".__init__")
    importlib.import_module(f"structalign.{name}")


def test_nothing_imports_the_command_line() -> None:
    assert not [path for path in MODULES if "cli" in {n.split(".")[0] for n in imported(path)}]
