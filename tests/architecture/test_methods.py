"""A method is one file: nothing outside ``methods/`` names one, or imports one."""

import ast
from pathlib import Path

import pytest
from structalign.train.methods.registry import method_class, method_names

ROOT = Path(__file__).parents[2]
INTERFACE = {"base", "registry"}
NEUTRAL = {"joint"}  # a stream of one task, not a method
FILES = sorted(
    path
    for room in ("train", "evaluate")
    for path in (ROOT / room).rglob("*.py")
    if "methods" not in path.parts
)


def docstrings(tree: ast.AST) -> set[int]:
    """The constants that are docstrings, by identity."""
    owners = (ast.Module, ast.ClassDef, ast.FunctionDef)
    bodies = [node.body for node in ast.walk(tree) if isinstance(node, owners)]
    return {id(body[0].value) for body in bodies if body and isinstance(body[0], ast.Expr)}


def names_and_texts(tree: ast.AST) -> set[str]:
    """Identifiers, attributes and texts of a file, docstrings apart."""
    apart, found = docstrings(tree), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found |= set() if id(node) in apart else set(node.value.split())
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_file_outside_methods_knows_one(path: Path) -> None:
    tree = ast.parse(path.read_text())
    imported = {
        (node.module or "").split("methods.")[1].split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and "methods." in (node.module or "")
    }
    assert imported <= INTERFACE
    sources = {file.stem for file in (ROOT / "train" / "methods").glob("*.py")} - INTERFACE
    known = {*method_names(), *(sources - {"__init__", "adapted"})} - NEUTRAL
    classes = {method_class(source).__name__ for source in known & {*sources, "structalign"}}
    assert classes >= {"Finetune", "StructAlign", "ZeroShot", "FrameFusionMoE", "LwF"}
    assert not names_and_texts(tree) & (known | classes - {"structalign"}) - {"structalign"}


def test_a_methods_options_are_its_own() -> None:
    """What one method adds leaves the others' configurations as they are."""
    from structalign.train.methods.registry import load_method

    keys = {name: set(load_method(name, "demo", "demo").as_json()) for name in method_names()}
    own = {"crp_weight", "etf", "etf_weight", "teacher", "replay_weight"}
    assert own <= keys["structalign"] and not own & keys["finetune"]
    assert keys["zeroshot"] < keys["finetune"] < keys["structalign"]
