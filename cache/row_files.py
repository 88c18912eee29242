"""Token arrays of versions before 0.3: a file for every view of a clip. They are read only."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .shards import CHECKSUM, read_chunk
from .tokens import ChunkError, TokenReader, View


class RowFileReader(TokenReader):
    """Reads from files of one chunk: [rows, frames, 1 + patches, width]."""

    def files(self, views: Sequence[View]) -> set[str]:
        """One for each."""
        return {self._name(view) for view in views}

    def _read_into(self, views: Sequence[View], memory: memoryview) -> None:
        size = len(memory) // max(1, len(views))
        for number, view in enumerate(views):
            try:
                file = os.open(self.cache / "tokens" / self._name(view), os.O_RDONLY)
            except FileNotFoundError:
                raise ChunkError(view, True) from None
            try:
                body = memory[number * size :][:size]
                is_whole = os.fstat(file).st_size == size + CHECKSUM
                if not is_whole or read_chunk(file, 0, size + CHECKSUM, body) is None:
                    raise ChunkError(view, False)
            finally:
                os.close(file)

    def _name(self, view: View) -> str:
        return f"c.{self.table.row(view)}.0.0.0"

    def _select(self, views: Sequence[View]) -> NDArray[Any]:
        rows = np.array([self.table.row(view) for view in views])
        return np.asarray(self.array.oindex[rows])
