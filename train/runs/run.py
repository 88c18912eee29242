"""A run: one continual training of a method on a stream, in a folder. A task is whole or absent."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ...backbones.backbone import Backbone
from ...backbones.split_weights import load_frozen
from ...cache.reader import FeatureCache
from ...cache.root import CacheRoot
from ...core.device import prepare_cpu, resolve_device
from ...core.errors import StructAlignError
from ...core.hashing import check_sha256
from ...core.tensors import StoredTensor, read_tensors, save_tensors
from ..gallery import Block, Gallery
from ..methods.base import Method
from ..methods.registry import build_method
from ..stream import StreamPart, TaskStream
from .checksums import checksum_of, damaged, identity, write_checksums
from .config import differences, find_caches, read_method_config
from .folder import METHOD_COPY, RunFolder, acquire_lease, read_part, read_run_config

EMBEDDINGS = "embeddings"  # the tensor of a gallery file


class Run(RunFolder):
    """A run with its caches, in order, ready to be trained, measured, searched or used.

    ``config`` is the content of ``config.json``, ``method_config`` the method with all of its
    settings; ``video_tokens`` encodes a new video like a cache's clips, set by who can decode.
    """

    video_tokens: "Callable[[FeatureCache, Path, float | None, float | None], Any] | None" = None

    def __init__(self, path: Path, config: dict[str, Any], caches: Sequence[FeatureCache],
                 device: torch.device) -> None:  # fmt: skip
        super().__init__(path)
        self.config, self.caches, self.device = config, list(caches), device
        if config.get("file_hash") is not None:
            self._check_method_file(Path(config["source"]), config["file_hash"])
        self.method_config = read_method_config(config)
        self.settings = self.method_config.settings

    @classmethod
    def open(
        cls,
        path: str | Path,
        cache: FeatureCache | str | None = None,
        cache_root: str | Path | None = None,
        device: str = "auto",
    ) -> "Run":
        """Open the run in a folder; arguments as for ``structalign.open_run``.

        Raises StructAlignError: no run, no such cache, another cache than it was trained on, or a
        finished task that is not there any more.
        """
        config = read_run_config(Path(path))
        root = CacheRoot(cache_root)
        given = root.find(cache) if isinstance(cache, str) else cache
        wanted = [part["fingerprint"] for part in config["parts"]]
        if given is not None and given.fingerprint not in wanted:
            raise StructAlignError(
                f"this run was trained on cache {' and '.join(name[:12] for name in wanted)}, "
                f"not on {given.fingerprint[:12]}; name the right one with --cache"
            )
        caches = find_caches(root, config["parts"], [] if given is None else [given])
        run = cls(Path(path), config, caches, resolve_device(device))
        run.check_tasks()
        return run

    def reread(self, what: str = "was replaced by another", do: str = "open it again") -> "Run":
        """The run as its folder has it now: another process may have appended a cache to it.

        Raises StructAlignError, with ``what`` and ``do``, where its configuration is another.
        """
        stored = read_run_config(self.path)
        if stored == json.loads(json.dumps(self.config)):
            return self
        if differs := differences(stored, self.config):
            raise StructAlignError(f"run {self.path} {what} ({'; '.join(differs[:4])}); {do}")
        caches = find_caches(CacheRoot(), stored["parts"], self.caches)
        return Run(self.path, stored, caches, self.device)

    @contextmanager
    def lease_for_training(self) -> Iterator[None]:
        """The run's lease. Raises StructAlignError if another has it, or changed the run before."""
        with acquire_lease(self.path, "wait for it, or give another --out"):
            if read_run_config(self.path) != json.loads(json.dumps(self.config)):
                raise StructAlignError(
                    f"run {self.path} was changed by another process meanwhile; nothing was "
                    "trained: run the command again, or give another --out"
                )
            yield

    @property
    def cache(self) -> FeatureCache:
        """The first cache, whose frozen part the run uses."""
        return self.caches[0]

    @cached_property
    def parts(self) -> list[StreamPart]:
        """Its caches with the tasks of each."""
        return [
            StreamPart(
                cache,
                tuple(tuple(names) for names in part["tasks"]),
                frozenset(part.get("left_out", ())),
            )
            for cache, part in zip(self.caches, self.config["parts"], strict=True)
        ]

    def _check_method_file(self, path: Path, wanted: str) -> None:
        """Raises StructAlignError for another file: it is executed, so a run may not bring it."""
        copy = self.path / METHOD_COPY
        if self.path.resolve() in path.resolve().parents:
            raise StructAlignError(f"run {self.path} brings its own code ({path}); not executed")
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != wanted:
            state = "has changed since it was trained" if path.is_file() else "is missing"
            raise StructAlignError(
                f"the method of run {self.path} is the file {path}, which {state}; "
                f"the version it was trained with is {copy}: read it, and put it back there"
            )

    @cached_property
    def stream(self) -> TaskStream:
        """Its tasks; a joint run has one per cache, of all categories."""
        return TaskStream(self.parts, self.settings, self.config["seed"], self.device)

    @cached_property
    def backbone(self) -> Backbone:
        """The frozen part after the cut, from the first cache."""
        if self.device.type == "cpu":
            prepare_cpu()
        return load_frozen(self.cache.frozen, self.cache.spec.weights)

    def new_method(self) -> Method:
        """The method before task 1."""
        method = build_method(self.method_config, self.backbone, self.config["seed"])
        return method.to(self.device).eval()

    def method_after(self, number: int) -> Method:
        """The method after task ``number``, in evaluation mode."""
        method = self.new_method()
        if number:
            self.load_task(number, method)
        return method

    @cached_property
    def method(self) -> Method:
        """The method after the last finished task. Raises StructAlignError before the first."""
        if not self.finished:
            raise StructAlignError(f"run {self.path} has no finished task yet; train it first")
        return self.method_after(self.finished)

    def load_task(self, number: int, method: Method) -> None:
        """Put a method into the state after task ``number``."""
        file = self.task_folder(number) / "state.safetensors"
        method.load_state(read_tensors(file, checksum_of(file, self.task_checksums(number))))
        method.task = number
        method.eval()

    def save_task(self, number: int, method: Method, blocks: Mapping[str, Block]) -> None:
        """Write a finished task with its gallery blocks by split, atomically."""
        folder = self.task_folder(number)
        building = folder.with_name(f".{folder.name}.tmp")
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir(parents=True)
        save_tensors(building / "state.safetensors", method.state())
        for split, block in blocks.items():
            file = building / self.block_file(number, split).name
            save_tensors(file, {EMBEDDINGS: block.embeddings})
            file.with_suffix(".json").write_text(json.dumps(block.clips) + "\n")
        write_checksums(building, task=number, run=identity(self.config), logs=self.log_sizes())
        os.rename(building, folder)

    def gallery(self, tasks: int, split: str | None = None, in_memory: bool = True) -> Gallery:
        """The stored clips of the first ``tasks`` tasks in a split, by default the evaluated one.

        Without ``in_memory``, embeddings stay in their files until they are used. Tasks without a
        block of the split are left out. Raises StructAlignError when one cannot be read.
        """
        blocks = [self.block(number, split, in_memory) for number in range(1, tasks + 1)]
        return Gallery([block for block in blocks if block is not None])

    def block(self, number: int, split: str | None, in_memory: bool = True) -> Block | None:
        """A finished task's stored clips in a split, or by ``ZERO_SHOT``; None without any.

        Raises StructAlignError when they cannot be read, or are not as they were written.
        """
        file = self.block_file(number, split)
        listing, written = file.with_suffix(".json"), self.task_checksums(number)
        is_there = listing.exists() if written is None else listing.name in written
        if split is not None and not is_there:
            return None
        if sha256 := checksum_of(listing, written):
            check_sha256(listing, sha256)
        clips = tuple(read_part(listing))
        block = Block(number, clips, StoredTensor(file, EMBEDDINGS, checksum_of(file, written)))
        if len(block.stored) != len(clips):
            raise damaged(file, f"it has {len(block.stored)} clips, {listing.name} {len(clips)}")
        return block.in_memory() if in_memory else block

    @property
    def finished(self) -> int:
        """Number of finished tasks of those in its configuration: more may have been appended."""
        return min(super().finished, sum(len(part["tasks"]) for part in self.config["parts"]))

    def block_file(self, number: int, split: str | None = None) -> Path:
        """The file of a finished task's stored clips in a split, by default the evaluated one."""
        name = f"gallery-{split or self.settings.eval_split}.safetensors"
        return self.task_folder(number) / name

    def encode_text(self, texts: str | Sequence[str], task: int | None = None) -> Tensor:
        """Unit embeddings of texts by the route of a task, by default the newest.

        Float32 [n, D], or [D] for a single text. Raises StructAlignError without a finished task.
        """
        captions = [texts] if isinstance(texts, str) else list(texts)
        token_ids = self.method.tokenize(captions)
        encoded = self.method.encode_texts(token_ids, task or self.finished).text
        unit = F.normalize(encoded, dim=-1).cpu()
        return unit[0] if isinstance(texts, str) else unit

    def encode_video(self, video: str | Path, start: float | None = None,
                     end: float | None = None) -> Tensor:  # fmt: skip
        """Unit embeddings of a video file's frames, as the gallery stores them.

        Float32 [N, D]; [1, D] for a method that compares whole clips. Raises StructAlignError: no
        finished task, the video does not decode, or the run was opened without a decoder.
        """
        if self.video_tokens is None:
            raise StructAlignError(
                f"run {self.path} was opened without a decoder; open it with structalign.open_run"
            )
        tokens = torch.from_numpy(self.video_tokens(self.cache, Path(video), start, end))
        return self.method.encode_videos(tokens[None])[0].cpu()
