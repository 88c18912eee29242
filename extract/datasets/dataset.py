"""What a dataset's file defines: a reader, whose fields are the dataset's options."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from ...cache.catalog import Catalog
from ...core.errors import StructAlignError
from ...core.ranges import check_fields


@dataclass(frozen=True)
class Dataset:
    """A catalog and the folder that its clips' paths are relative to."""

    catalog: Catalog
    root: Path


@dataclass(frozen=True)
class Inputs:
    """Where a reader finds its files, from the options that all datasets share.

    ``cache_root`` is for generated videos, ``root`` the user's folder of videos, ``splits`` a
    second folder with annotation files, or such a file.

    Raises:
        StructAlignError: ``root`` or ``splits`` does not exist.
    """

    cache_root: Path
    root: Path | None = None
    splits: Path | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for option, path in (("--root", self.root), ("--splits", self.splits)):
            if path is not None and not path.exists():
                raise StructAlignError(f"{option} {path} does not exist")

    @property
    def videos(self) -> Path:
        """``root``, for datasets that need one. Raises StructAlignError without it."""
        if self.root is None:
            raise StructAlignError("this dataset needs --root, the folder that holds its videos")
        return self.root


@dataclass(frozen=True)
class DatasetReader(ABC):
    """A dataset: a frozen dataclass in a file of its own, whose fields are its options.

    Its fields are declared with ``core.ranges.option``. A YAML file of the same name has the
    defaults of extraction. ``has_fixed_splits`` says that the dataset's publisher chose train and
    test clips; in all other datasets a video in both is refused.
    """

    has_fixed_splits: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_fields(self)

    @abstractmethod
    def read(self, inputs: Inputs) -> Dataset:
        """Read the catalog.

        Raises:
            StructAlignError: a file is missing or broken; the message says where and what to do.
        """
