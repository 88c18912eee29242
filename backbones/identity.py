"""A backbone without its weights: enough to know which cache an extraction would make."""

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..core.errors import StructAlignError
from ..core.files import read_json, write_text


@dataclass(frozen=True)
class Preprocessing:
    """Resize the shorter side to ``size`` pixels, crop the centre, scale to [0, 1], normalise."""

    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str = "bicubic"

    def as_json(self) -> dict[str, Any]:
        """A dictionary of plain values."""
        return {**asdict(self), "mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> "Preprocessing":
        """From the dictionary of ``as_json``."""
        return cls(**{**body, "mean": tuple(body["mean"]), "std": tuple(body["std"])})


@dataclass(frozen=True)
class BackboneIdentity:
    """``weights`` is the hash of the weights, ``blocks`` counts the vision blocks."""

    name: str
    weights: str
    blocks: int
    preprocessing: Preprocessing


class BackboneIdentities:
    """Identities kept in the file ``memo``, each valid until its weights file changes."""

    def __init__(self, memo: Path) -> None:
        self.memo = memo

    def find(self, key: str) -> BackboneIdentity | None:
        """The identity kept under ``key``, or None. Ignores one whose file has changed."""
        try:
            entry = self._load()[key]
            if entry["file"] is not None and entry["stat"] != _stat(Path(entry["file"])):
                return None
            preprocessing = Preprocessing.from_json(entry["preprocessing"])
            blocks = int(entry["blocks"])
            return BackboneIdentity(entry["name"], entry["weights"], blocks, preprocessing)
        except (KeyError, TypeError, ValueError, OSError):
            return None

    def remember(self, key: str, identity: BackboneIdentity, file: Path | None) -> None:
        """Keep an identity; ``file`` is the file of its weights, if there is one."""
        entry = {
            **asdict(identity),
            "preprocessing": identity.preprocessing.as_json(),
            "file": file and str(file),
            "stat": file and _stat(file),
        }
        self.memo.parent.mkdir(parents=True, exist_ok=True)
        with suppress(IsADirectoryError):  # a folder in its place only costs time
            write_text(self.memo, json.dumps({**self._load(), key: entry}, indent=1) + "\n")

    def _load(self) -> dict[str, Any]:
        try:
            return dict(read_json(self.memo))
        except (OSError, ValueError, TypeError):
            return {}


def _stat(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def check_cut(name: str, blocks: int, cut: int) -> None:
    """Raise StructAlignError unless 0 <= cut < blocks, which leaves a block to adapt."""
    if not 0 <= cut < blocks:
        raise StructAlignError(
            f"cut {cut} does not lie in 0..{blocks - 1}: '{name}' has {blocks} vision blocks"
        )
