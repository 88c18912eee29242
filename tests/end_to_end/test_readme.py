"""Every command of README is run, on data small enough; the demo and test commands are what CI runs."""

import re
import shlex
import shutil
from pathlib import Path

import pytest
import torch

from cache import CacheRoot
from tests.conftest import ROOT, Cli
from tests.end_to_end.test_pipeline import QUICK
from train.adapters import GeneratorNoise
from train.experiment import make_config, make_experiment
from train.seeds import generator
from train.settings import resolve

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
COMMANDS = [line.split("#")[0].strip() for block in BLOCKS for line in block.splitlines() if line.strip()]
SMALL = {  # what makes each verb small; everything else of the line stays
    "extract": "--backbone demo --pretrained demo --cut 4 --frames 4 --views 2 --engine inline --max-bad 1",
    "train": "--set epochs=1 --set rank=8 --set experts=2 --set batch=16",
    "sweep": "--set epochs=1 --set rank=8 --set experts=2 --set batch=16",
}


def test_the_two_commands_are_what_ci_runs() -> None:
    makefile, ci = (ROOT / "Makefile").read_text(), (ROOT / ".ci" / "run").read_text()
    assert COMMANDS[:2] == ["make demo", "make test"] and all(command.startswith("structalign ") for command in COMMANDS[2:])
    assert "demo: $(STAMP)\n\t$(BIN)/structalign demo" in makefile and "make test" in ci and "structalign demo" in ci


def test_every_document_it_names_is_there() -> None:
    assert all((ROOT / name).is_file() for name in re.findall(r"\]\((?!http)([^)]+)\)", README))
    named = re.search(r"## Where things are\n\n(.*?)\n\nImports", README, re.DOTALL)
    assert named
    folder, found = "", set()
    for line in named[1].splitlines():
        names = re.findall(r"(\S+\.py|\S+/)(?=  |$)", line[:32].rstrip() + "  ")
        if line.startswith("    ") and not line.startswith("      ") and names[0].endswith("/"):
            folder = names[0]
        inside = line.startswith("      ")
        found |= {(folder if inside else "") + name for name in names}
    assert [name for name in sorted(found) if not (ROOT / name).exists()] == []
    modules = {path.relative_to(ROOT).as_posix() for room in ("cache", "extract", "train", "evaluate") for path in (ROOT / room).glob("*.py")}
    assert sorted(name for name in modules - found if not name.endswith("__init__.py")) == []


@pytest.mark.slow
def test_every_other_command(shared: Cli, videos: Path, tmp_path: Path) -> None:
    """In the order in which they stand. MSRVTT is stood in for by the demo's own videos under a manifest, since there is no MSR-VTT here."""
    cli = Cli(tmp_path)
    for name in ("MSRVTT", "VIDEOS"):
        shutil.copytree(videos, tmp_path / name)
    manifest = tmp_path / "VIDEOS" / "manifest.csv"
    manifest.write_text("\n".join(manifest.read_text().splitlines()[:40]) + "\n")
    run = tmp_path / "RUN"
    shared.json("train", *QUICK, "--out", run)
    for source in (shared.home / "cache" / "caches").iterdir():
        shutil.copytree(source, tmp_path / "cache" / "caches" / source.name)
    ran = []
    for command in COMMANDS[2:]:
        _, verb, *rest = shlex.split(command)
        line = [verb, *rest, *shlex.split(SMALL.get(verb, ""))]
        line = [{"msrvtt": "manifest", "0,1,2": "0"}.get(part, part) for part in line]
        line = ["2" if previous == "--tasks" else part for previous, part in zip(["", *line], line, strict=False)]
        if verb == "cache" and rest[0] == "rm":
            line[2] = "manifest"
        done = cli(*line)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        ran.append(verb)
    assert set(ran) == {"extract", "train", "eval", "sweep", "report", "search", "cache"}


def test_the_method_in_one_file(shared: Cli) -> None:
    code = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    assert code
    names: dict[str, object] = {}
    exec(code[1], names)
    cache = CacheRoot(shared.home / "cache").find(None)
    config = make_config(cache, resolve("manifest", "finetune", {"batch": "4", "epochs": "1"}), 2, 0)
    experiment = make_experiment(cache, config, torch.device("cpu"))
    method = names["Smoothed"](experiment.model, experiment.settings, 4, 0)  # type: ignore[operator]
    task = experiment.stream.task(1, experiment.tokenize)
    method.begin_task(task)
    losses = method.losses(next(iter(task.batches(0))), GeneratorNoise(generator(0, "noise")))
    assert set(losses) == {"contrastive", "smooth"} and all(torch.isfinite(value) for value in losses.values())
