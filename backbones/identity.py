"""What a backbone is, without loading it: enough to find the cache that is asked for."""

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..core.files import read_json, write_text


@dataclass(frozen=True)
class Preprocessing:
    """Shorter side to ``size``, centre crop, values in [0, 1], then normalised."""

    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str = "bicubic"

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> "Preprocessing":
        """What ``as_json`` gave."""
        return cls(**{**body, "mean": tuple(body["mean"]), "std": tuple(body["std"])})


@dataclass(frozen=True)
class BackboneIdentity:
    """``weights`` is the hash of the weights, ``blocks`` counts the vision blocks."""

    name: str
    weights: str
    blocks: int
    preprocessing: Preprocessing


class BackboneIdentities:
    """Identities kept in the file ``memo``, each while its weights file does not change."""

    def __init__(self, memo: Path) -> None:
        self.memo = memo

    def find(self, key: str) -> BackboneIdentity | None:
        """The identity kept under ``key``; None if there is none, or the file has changed."""
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
        """Keep an identity; ``file`` is where its weights came from, if from a file."""
        entry = {
            **asdict(identity),
            "preprocessing": identity.preprocessing.as_json(),
            "file": file and str(file),
            "stat": file and _stat(file),
        }
        self.memo.parent.mkdir(parents=True, exist_ok=True)
        with suppress(IsADirectoryError):  # somebody's folder in its place: it only saves time
            write_text(self.memo, json.dumps({**self._load(), key: entry}, indent=1) + "\n")

    def _load(self) -> dict[str, Any]:
        try:
            return dict(read_json(self.memo))
        except (OSError, ValueError, TypeError):
            return {}


def _stat(path: Path) -> list[int]:
    found = path.stat()
    return [found.st_size, found.st_mtime_ns]
