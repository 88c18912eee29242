"""A backbone without its weights: enough to know which cache an extraction would make."""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..core.errors import StructAlignError
from ..core.files import read_json, write_text

# OpenAI's, where neither the configuration nor the weights say.
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
IDENTITY_VERSION = 1  # raised when the same name and tag give another identity than before
IMAGE_SIZE = 224  # open_clip's, where a configuration does not say


@dataclass(frozen=True)
class Preprocessing:
    """Resize to ``size`` pixels, scale to [0, 1], normalise.

    ``resize_mode`` is open_clip's: ``shortest`` resizes the shorter side and crops the centre,
    ``squash`` resizes both sides to ``size``, whatever the shape of the picture.
    """

    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str = "bicubic"
    resize_mode: str = "shortest"

    @classmethod
    def of(cls, config: Mapping[str, Any], tag: Mapping[str, Any]) -> "Preprocessing":
        """The size of a model's configuration, the rest of its weights' ``tag``, where known."""
        return cls(
            size=int(config["vision_cfg"].get("image_size", IMAGE_SIZE)),
            mean=tuple(tag.get("mean") or MEAN),
            std=tuple(tag.get("std") or STD),
            interpolation=tag.get("interpolation") or "bicubic",
            resize_mode=tag.get("resize_mode") or "shortest",
        )

    def as_json(self) -> dict[str, Any]:
        """A dictionary of plain values, without ``resize_mode`` where it is ``shortest``.

        So the fingerprints of caches stay what they were before there were other modes.
        """
        body = {**asdict(self), "mean": list(self.mean), "std": list(self.std)}
        if self.resize_mode == "shortest":
            del body["resize_mode"]
        return body

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


def split_pretrained(pretrained: str) -> tuple[str, Path | None]:
    """The tag and the file of ``--pretrained``: a tag, a file, or ``TAG=FILE``; "" without a tag.

    ``TAG=FILE`` is for weights of a tag that were fetched by hand: a file says neither its
    preprocessing nor its activation, the tag does.
    """
    if (path := Path(pretrained).expanduser()).is_file():
        return "", path.resolve()
    tag, separator, file = pretrained.partition("=")
    if separator and (path := Path(file).expanduser()).is_file():
        return tag, path.resolve()
    return pretrained, None


def check_cut(name: str, blocks: int, cut: int) -> None:
    """Raise StructAlignError unless 0 <= cut < blocks, which leaves a block to adapt."""
    if not blocks:
        raise StructAlignError(f"'{name}' has no vision blocks to cut between; give --cut all")
    if not 0 <= cut < blocks:
        raise StructAlignError(
            f"cut {cut} does not lie in 0..{blocks - 1}: '{name}' has {blocks} vision blocks"
        )
