"""Checkpoints inside a task: an interrupted training resumes as if it had not stopped."""

import json
import os
import shutil
import time
from pathlib import Path

from ...core.errors import StructAlignError
from ...core.tensors import load_tensors, save_tensors
from ..epoch_selection import BestEpoch
from ..methods.base import Method
from ..optimizer import ExpertAdamW
from .checksums import check_folder, write_checksums
from .folder import read_part


class EpochCheckpoints:
    """The latest state inside a task, under ``folder``, written at most every ``every`` seconds.

    What a method prepares in ``begin_task`` is left out: it follows from the last task.
    """

    def __init__(self, folder: Path, every: float) -> None:
        self.folder, self.every = folder, every
        self._last = time.monotonic()

    def save(
        self, task: int, epoch: int, method: Method, optimizer: ExpertAdamW, best: BestEpoch | None
    ) -> None:
        """Save the state after ``epoch`` (1-based) of ``task`` if ``every`` seconds have passed."""
        if time.monotonic() - self._last < self.every:
            return
        target = self.folder / f"{task:02d}-{epoch:04d}"
        building = target.with_name(f".{target.name}.tmp")
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir(parents=True)
        generators = {name: g.get_state() for name, g in method.generators.items()}
        save_tensors(building / "state.safetensors", method.state())
        save_tensors(building / "optimizer.safetensors", optimizer.state_tensors())
        save_tensors(building / "generators.safetensors", generators)
        if best is not None:
            save_tensors(building / "best.safetensors", best.kept)
            body = {"best": best.best, "epoch": best.epoch, "bad": best.bad}
            (building / "best.json").write_text(json.dumps(body))
        write_checksums(building, task=task, epoch=epoch)
        os.rename(building, target)
        for other in self.folder.iterdir():
            if other != target:
                shutil.rmtree(other)
        self._last = time.monotonic()

    def restore(
        self, task: int, method: Method, optimizer: ExpertAdamW, best: BestEpoch | None
    ) -> int:
        """Restore the latest state of ``task``; returns the epochs done, 0 without a checkpoint.

        Raises StructAlignError if it is not as it was written: without it, the task begins again.
        """
        checkpoints = sorted(self.folder.glob(f"{task:02d}-[0-9]*"))
        if not checkpoints:
            return 0
        folder = checkpoints[-1]
        epoch = int(folder.name.split("-")[1])
        try:
            check_folder(folder, task=task, epoch=epoch)
        except StructAlignError as error:
            raise StructAlignError(f"{error}; or remove {folder}: its task begins again") from error
        method.load_state(load_tensors(folder / "state.safetensors"))
        optimizer.load_state_tensors(load_tensors(folder / "optimizer.safetensors"))
        for name, value in load_tensors(folder / "generators.safetensors").items():
            method.draws(name).set_state(value)
        if best is not None:
            body = read_part(folder / "best.json")
            best.best, best.epoch, best.bad = body["best"], body["epoch"], body["bad"]
            kept = load_tensors(folder / "best.safetensors")
            best.kept = {name: value.to(method.device) for name, value in kept.items()}
        return epoch

    def clear(self) -> None:
        """Remove the checkpoint of a task that is finished."""
        shutil.rmtree(self.folder, ignore_errors=True)
