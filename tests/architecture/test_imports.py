"""The house: rooms import each other relatively and one way only, without a circle."""

import ast
import importlib
import re
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOWER = {"core": set[str](), "backbones": {"core"}, "cache": {"core", "backbones"}}
LOWER["extract"] = LOWER["train"] = {*LOWER["cache"], "cache"}
LOWER["evaluate"] = {*LOWER["cache"], "cache", "extract", "train"}
LOWER["search"] = LOWER["experiments"] = {*LOWER["evaluate"], "evaluate"}
LOWER["benchmarks"] = {*LOWER["search"], "search", "experiments"}
# Public names that stand above their room: importing them there keeps working.
FORWARDING = {Path("train/__init__.py"), Path("evaluate/__init__.py")}
ROOMS = {*LOWER, "cli", "verbs", "tests", "serve", "tools"}
TOP = [Path(name) for name in ("__init__.py", "verbs.py", "cli.py")]
MODULES = sorted(path.relative_to(ROOT) for room in LOWER for path in (ROOT / room).rglob("*.py"))


@cache
def known_modules() -> frozenset[str]:
    """Dotted names below the package, without ``__init__``."""
    return frozenset(".".join(path.with_suffix("").parts) for path in MODULES)


def is_for_types(node: ast.AST) -> bool:
    """Whether a statement is ``if TYPE_CHECKING:``."""
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def statements(tree: ast.AST, with_types: bool) -> list[ast.AST]:
    """All nodes of a file; those under ``if TYPE_CHECKING:`` on request."""
    nodes: list[ast.AST] = []
    for child in ast.iter_child_nodes(tree):
        if with_types or not is_for_types(child):
            nodes += [child, *statements(child, with_types)]
    return nodes


def imported(path: Path, with_types: bool = True) -> set[str]:
    """What a file imports of this project, anywhere in it, as dotted names below the package."""
    names: set[str] = set()
    for node in statements(ast.parse((ROOT / path).read_text()), with_types):
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


def as_module(name: str) -> str | None:
    """The module that an imported name is, or is of; None for other projects'."""
    for candidate in (name, name.rpartition(".")[0]):
        for module in (candidate, f"{candidate}.__init__"):
            if module in known_modules():
                return module
    return None


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_imports_run_the_way_the_house_is_drawn(path: Path) -> None:
    room = path.parts[0]
    allowed = {room, *LOWER[room]} | ({"verbs"} if path in FORWARDING else set())
    assert {name.split(".")[0] for name in imported(path)} & ROOMS <= allowed


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_no_room_is_reached_by_a_string(path: Path) -> None:
    """A dotted name in a text names a module of the same room or of one below, to be run."""
    texts = [
        node.value
        for node in ast.walk(ast.parse((ROOT / path).read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    reached = {match[1] for text in texts for match in re.finditer(r"^structalign\.(\w+)", text)}
    above = {"cli"} if path.parts[0] == "benchmarks" else set()  # run as a process, measured
    assert reached & ROOMS <= {path.parts[0], *LOWER[path.parts[0]], *above}


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_every_module_imports(path: Path) -> None:
    name = ".".join(path.with_suffix("").parts).removesuffix(".__init__")
    importlib.import_module(f"structalign.{name}")


def test_no_circle() -> None:
    """Files of all rooms have an order: raises CycleError, which names the circle."""
    graph = {
        ".".join(path.with_suffix("").parts): {
            module
            for name in imported(path, with_types=False)
            if (module := as_module(name)) and module != ".".join(path.with_suffix("").parts)
        }
        for path in MODULES
        if path not in FORWARDING
    }
    order = list(TopologicalSorter(graph).static_order())
    assert len(order) > 150 and order.index("core.errors") < order.index("train.loop")


def test_the_command_line_stands_above_all() -> None:
    assert not [path for path in MODULES if "cli" in {n.split(".")[0] for n in imported(path)}]
    for path in TOP:
        assert not {name.split(".")[0] for name in imported(path)} & {"tests", "benchmarks"}
