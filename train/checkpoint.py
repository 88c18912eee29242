"""The state inside a task, at the end of an epoch: with it a killed training goes on as if nothing had happened."""

import json
import os
import shutil
import time
from pathlib import Path

from torch import Generator

from cache.tensors import load_tensors, save_tensors
from train.model import Model
from train.optimizer import ExpertAdamW
from train.selection import EpochChoice


class EpochCheckpoints:
    """One checkpoint under ``folder``, the latest: learnt parameters, optimizer, generators, the choice of the best epoch.

    Written at most every ``every`` seconds. What a method remembers of finished tasks, and the teacher it makes at the beginning of a
    task, are not in it: they follow from the last finished task.
    """

    def __init__(self, folder: Path, every: float) -> None:
        self.folder, self.every = folder, every
        self._last = time.monotonic()

    def save(self, task: int, epoch: int, model: Model, optimizer: ExpertAdamW, generators: dict[str, Generator], choice: EpochChoice | None) -> None:
        """Keep the state after ``epoch`` (1-based) of ``task``, if the last one is old enough."""
        if time.monotonic() - self._last < self.every:
            return
        target = self.folder / f"{task:02d}-{epoch:04d}"
        building = target.with_name(f".{target.name}.tmp")
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir(parents=True)
        save_tensors(building / "model.safetensors", model.learnt())
        save_tensors(building / "gradients.safetensors", model.uncleared())
        save_tensors(building / "optimizer.safetensors", optimizer.state_tensors())
        save_tensors(building / "generators.safetensors", {name: generator.get_state() for name, generator in generators.items()})
        if choice is not None:
            save_tensors(building / "best.safetensors", choice.kept)
            (building / "choice.json").write_text(json.dumps({"best": choice.best, "epoch": choice.epoch, "bad": choice.bad}))
        os.rename(building, target)
        for other in self.folder.iterdir():
            if other != target:
                shutil.rmtree(other)
        self._last = time.monotonic()

    def restore(self, task: int, model: Model, optimizer: ExpertAdamW, generators: dict[str, Generator], choice: EpochChoice | None) -> int:
        """Put everything into the latest state of ``task``; returns the epochs that are done, 0 without a checkpoint."""
        found = sorted(self.folder.glob(f"{task:02d}-[0-9]*"))
        if not found:
            return 0
        folder = found[-1]
        state = load_tensors(folder / "model.safetensors")
        for name, parameter in model.learnt().items():
            parameter.data.copy_(state[name])
        model.take_uncleared(load_tensors(folder / "gradients.safetensors"))
        optimizer.load_state_tensors(load_tensors(folder / "optimizer.safetensors"))
        for name, value in load_tensors(folder / "generators.safetensors").items():
            generators[name].set_state(value)
        if choice is not None:
            kept = json.loads((folder / "choice.json").read_text())
            choice.best, choice.epoch, choice.bad = kept["best"], kept["epoch"], kept["bad"]
            choice.kept = {name: value.to(model.logit_scale.device) for name, value in load_tensors(folder / "best.safetensors").items()}
        return int(folder.name.split("-")[1])

    def clear(self) -> None:
        """The task is finished: remove its checkpoint."""
        shutil.rmtree(self.folder, ignore_errors=True)
