"""The demo world: procedural clips as real video files, with captions."""

from dataclasses import dataclass
from typing import ClassVar

from ....core.errors import StructAlignError
from ....core.ranges import option
from ..dataset import Dataset, DatasetReader, Inputs


@dataclass(frozen=True)
class Demo(DatasetReader):
    """A generated world of 20 categories; it needs no files."""

    has_fixed_splits: ClassVar[bool] = True

    conflict: float = option(
        0.0,
        "Share of the demo world's shared words that change meaning every two categories.",
        at_least=0,
        at_most=1,
    )

    def read(self, inputs: Inputs) -> Dataset:
        """Generate the videos of the world of ``inputs.seed``, unless they are there.

        Raises:
            StructAlignError: a folder of videos is given.
        """
        if inputs.root or inputs.splits:
            raise StructAlignError(
                "the demo makes its own videos and takes no --root or --splits; "
                "leave --dataset out for videos of your own"
            )
        from .files import generate  # slow: PyAV

        folder = inputs.cache_root / "datasets"
        folder.mkdir(parents=True, exist_ok=True)
        return Dataset(generate(folder, inputs.seed, conflict=self.conflict), folder)
