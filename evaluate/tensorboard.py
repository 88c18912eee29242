"""Losses and stages as TensorBoard events, for those who use it; the run's own files have all of it too."""

from functools import cached_property
from pathlib import Path
from typing import Any

from cache.errors import StructAlignError


class TensorBoardLog:
    """Writes into ``run/tensorboard``.

    Raises:
        StructAlignError: the extra is not installed.
    """

    def __init__(self, run: Path, epochs: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise StructAlignError("--log tensorboard needs the extra 'tensorboard': pip install 'structalign[tensorboard]'") from error
        self._open = lambda: SummaryWriter(str(run / "tensorboard"))
        self.epochs = epochs

    @cached_property
    def writer(self) -> Any:
        """Opened with the first event: before that there may be no run."""
        return self._open()

    def epoch(self, task: int, epoch: int, losses: dict[str, float]) -> None:
        """The terms of the loss at the end of an epoch."""
        for name, value in losses.items():
            self.writer.add_scalar(f"train/{name}", value, (task - 1) * self.epochs + epoch)
        self.writer.flush()

    def stage(self, scores: dict[str, Any]) -> None:
        """Both directions over all tasks seen, by stage."""
        for side in ("t2v", "v2t"):
            for name, value in scores[side].items():
                self.writer.add_scalar(f"{side}/{name}", value, scores["stage"])
        self.writer.flush()
