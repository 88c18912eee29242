"""One importable name, and commands that work beside anybody's own files."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from helpers.cli import QUICK, RAY, ROOT, Cli

pytestmark = pytest.mark.xdist_group("ray")
PERSONAL = ("train.py", "evaluate.py", "extract.py", "cli.py", "cache/__init__.py",
            "configs/__init__.py", "experiments/__init__.py", "tests/__init__.py")  # fmt: skip


def test_every_package_is_in_the_wheel_under_one_name() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    rooms = (
        "backbones",
        "benchmarks",
        "cache",
        "core",
        "evaluate",
        "extract",
        "experiments",
        "search",
        "train",
    )
    files = [path for room in rooms for path in (ROOT / room).rglob("__init__.py")]
    folders = {".".join(("structalign", *file.parent.relative_to(ROOT).parts)) for file in files}
    assert set(listed) == {"structalign", *folders}
    named = (ROOT / "docs").glob("*.md")
    commands = [
        w for file in named for w in file.read_text().split() if w.startswith("structalign.")
    ]
    modules = {command.strip("`.,()") for command in commands if command.count(".") > 1}
    assert modules
    for module in modules:
        path = ROOT.joinpath(*module.split(".")[1:])
        assert path.with_suffix(".py").is_file() or path.is_dir(), module


@pytest.mark.slow
def test_installing_leaves_one_name(tmp_path: Path) -> None:
    """It left cache, train, evaluate, extract, configs and cli: Hugging Face's evaluate broke."""
    source, target = tmp_path / "source", tmp_path / "target"
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in tracked.stdout.splitlines():
        if (ROOT / name).is_file() and not name.startswith("tests/"):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, source / name)
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--target",
        str(target),
        str(source),
    ]
    subprocess.run(pip, check=True)
    names = {path.name for path in target.iterdir()}
    assert {n for n in names if not n.endswith(".dist-info")} <= {"structalign", "bin"}
    shown = "import structalign.train.methods.registry as r; print(r.__file__, r.method_names())"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(target)!r}); {shown}"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.startswith(str(target)) and "'finetune'" in done.stdout


@pytest.fixture
def personal(cli: Cli) -> Cli:
    """A folder with files of a person's own, under every name that this project has."""
    for name in PERSONAL:
        (cli.home / name).parent.mkdir(exist_ok=True)
        (cli.home / name).write_text("raise SystemExit('a file of my own was imported')\n")
    return cli


@pytest.mark.slow
def test_in_a_folder_with_own_files_of_every_name(personal: Cli, videos: Path) -> None:
    """Ray's workers imported them, and died."""
    structalign = Path(sys.executable).with_name("structalign")
    lines = (
        [structalign, *RAY, "--root", videos, "--cut", "4", "--limit", "8"],
        [structalign, "sweep", "--methods", "finetune", "--seeds", "0", *QUICK],
        [structalign, "eval", "runs/sweep/" + "*"],
        [sys.executable, ROOT / "cli.py", "cache", "ls"],
    )
    for line in lines:
        words = [str(word) for word in line]
        if "*" in words[-1]:
            words[-1] = str(next((personal.home / "runs" / "sweep").glob("*/")))
        done = subprocess.run(
            words, cwd=personal.home, env=personal.environment, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, (words, done.stdout, done.stderr)


@pytest.mark.slow
def test_a_checkout_that_is_not_installed_runs_its_own_code(cli: Cli, videos: Path) -> None:
    """`python cli.py` in a copy, while another one is installed: in Ray's workers too."""
    copy = cli.home / "checkout"
    ignored = shutil.ignore_patterns(".*", "tests", "runs", "build", "__pycache__")
    shutil.copytree(ROOT, copy, ignore=ignored)
    worker, seen = copy / "extract" / "worker.py", cli.home / "seen"
    worker.write_text(worker.read_text() + f"\nPath({str(seen)!r}).touch()\n")
    line = [sys.executable, copy / "cli.py", *RAY, "--root", videos, "--cut", "4", "--limit", "8"]
    done = subprocess.run(
        [str(word) for word in (*line, "--json")], cwd=cli.home, env=cli.environment,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert seen.exists()  # the copy's own worker was imported
