"""A run: one continual training, a folder. A task is in it whole or not at all."""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from cache.errors import StructAlignError
from cache.files import write_text
from cache.tensors import load_tensors, save_tensors
from train.database import Block
from train.methods.base import Method
from train.model import Model
from train.run_folders import read_config
from train.settings import differences
from train.stream import Side


class Run:
    """``config.json``, ``tasks/NN/`` with checkpoint, memory and database block of each finished task, ``stages/NN.json``, ``results.json``."""

    def __init__(self, path: Path, config: dict[str, Any]) -> None:
        self.path = path
        self.config = config

    @classmethod
    def open(cls, path: Path) -> "Run":
        """A run that exists. Raises StructAlignError when it does not."""
        return cls(path, read_config(path))

    @classmethod
    def create_or_resume(cls, path: Path, config: dict[str, Any], overwrite: bool) -> "Run":
        """A new run in ``path``, or the one that is there if its configuration is the same.

        Raises:
            StructAlignError: what is there was trained otherwise (naming the difference), or is not a run.
        """
        if (path / "config.json").is_file():
            found = cls.open(path)
            if overwrite:
                shutil.rmtree(path)
            elif differs := differences(_flat(config), _flat(found.config)):
                raise StructAlignError(
                    f"run {path} exists with another configuration ({'; '.join(differs[:4])}); give another --out, or train it with --overwrite"
                )
            else:
                return found
        elif path.exists() and any(entry for entry in path.iterdir() if not entry.name.startswith(".config.json.")):
            raise StructAlignError(f"{path} is a folder with something else in it; give another --out")
        path.mkdir(parents=True, exist_ok=True)
        write_text(path / "config.json", json.dumps(config, indent=1) + "\n")
        return cls(path, config)

    @property
    def finished(self) -> int:
        """Tasks finished so far."""
        count = 0
        while (self.path / "tasks" / f"{count + 1:02d}").is_dir():
            count += 1
        return count

    def commit(self, number: int, model: Model, method: Method, blocks: Mapping[Side, Block]) -> None:
        """Write a finished task with its blocks of the video database, one a side; from here on it is never done again."""
        folder = self.path / "tasks" / f"{number:02d}"
        building = folder.with_name(f".{folder.name}.tmp")
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir(parents=True)
        save_tensors(building / "model.safetensors", model.learnt())
        save_tensors(building / "gradients.safetensors", model.uncleared())
        save_tensors(building / "method.safetensors", method.state())
        for side, block in blocks.items():
            save_tensors(building / f"database-{side}.safetensors", {"frames": block.frames})
            (building / f"database-{side}.json").write_text(json.dumps(block.clips) + "\n")
        os.rename(building, folder)

    def load(self, number: int, model: Model, method: Method) -> None:
        """Put model and method into the state after task ``number``."""
        folder = self.path / "tasks" / f"{number:02d}"
        self._fill(model, load_tensors(folder / "model.safetensors"))
        model.take_uncleared(load_tensors(folder / "gradients.safetensors"))
        method.load_state(load_tensors(folder / "method.safetensors"))

    def _fill(self, model: Model, state: dict[str, Tensor]) -> None:
        learnt = model.learnt()
        if set(state) != set(learnt):
            raise StructAlignError(f"checkpoint in {self.path} does not fit its configuration; train again with --overwrite")
        for name, parameter in learnt.items():
            parameter.data.copy_(state[name])

    def database(self, stage: int, side: Side) -> list[Block]:
        """The stored blocks of tasks 1 .. stage on a side."""
        files = [self.path / "tasks" / f"{number:02d}" / f"database-{side}" for number in range(1, stage + 1)]
        clips = [tuple(json.loads(file.with_suffix(".json").read_text())) for file in files]
        return [Block(names, load_tensors(file.with_suffix(".safetensors"))["frames"]) for names, file in zip(clips, files, strict=True)]

    def record(self, stage: dict[str, Any]) -> None:
        """Keep what was measured after a stage."""
        (self.path / "stages").mkdir(exist_ok=True)
        write_text(self.path / "stages" / f"{stage['stage']:02d}.json", json.dumps(stage) + "\n")

    def stages(self) -> list[dict[str, Any]]:
        """What was measured so far, by stage."""
        return [json.loads(file.read_text()) for file in sorted((self.path / "stages").glob("[0-9]*.json"))]

    def log(self, entry: dict[str, Any]) -> None:
        """Append a line to the training log."""
        with (self.path / "log.jsonl").open("a") as file:
            file.write(json.dumps(entry) + "\n")


def _flat(config: dict[str, Any]) -> dict[str, Any]:
    return {**config, **config.get("settings", {}), "settings": None}
