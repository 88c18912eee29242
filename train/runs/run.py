"""A run: one continual training of a method on a stream, in a folder. A task is whole or absent."""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, overload

import torch
from torch import Tensor
from torch.nn import functional as F

from ...cache.clip.backbone import Backbone
from ...cache.clip.split_weights import load_frozen
from ...cache.reader import FeatureCache
from ...cache.root import CacheRoot
from ...cache.runtime.device import prepare_cpu, resolve_device
from ...cache.runtime.errors import StructAlignError
from ...cache.shared.files import write_text
from ...cache.shared.lease import Lease
from ...cache.shared.tensors import load_tensors, save_tensors
from ..gallery import Block, Gallery
from ..methods.base import Method
from ..methods.registry import make_config, method_class
from ..settings import MethodConfig
from ..stream import TaskStream, equal_tasks
from . import legacy
from .folder import RunFolder, read_part, read_run_config

METHOD_COPY = "method.py"


class Run(RunFolder):
    """A run with its cache, ready to be trained, measured, searched or used.

    Attributes:
        config: what is in ``config.json``.
        cache: the cache that it is trained on.
        device: where it computes.
        method_config: the method with all of its settings.
    """

    def __init__(
        self, path: Path, config: dict[str, Any], cache: FeatureCache, device: torch.device
    ) -> None:
        super().__init__(path)
        self.config, self.cache, self.device = config, cache, device
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
        """A run that exists.

        Args:
            path: its folder.
            cache: its cache, if it is no longer where the cache root has it.
            cache_root: by default STRUCTALIGN_CACHE, else ~/.cache/structalign.
            device: auto, cpu or cuda.

        Raises:
            StructAlignError: no run, no such cache, or another cache than it was trained on.
        """
        config = legacy.upgrade_config(read_run_config(Path(path)))
        if not isinstance(cache, FeatureCache):
            cache = CacheRoot(cache_root).find(cache or config["fingerprint"])
        if config["fingerprint"] != cache.fingerprint:
            raise StructAlignError(
                f"this run was trained on cache {config['fingerprint'][:12]}, "
                f"not on {cache.fingerprint[:12]}; name the right one with --cache"
            )
        return cls(Path(path), config, cache, resolve_device(device))

    @classmethod
    def create_or_resume(
        cls,
        path: Path,
        cache: FeatureCache,
        method: MethodConfig,
        tasks: int,
        seed: int,
        device: torch.device,
        overwrite: bool = False,
    ) -> "Run":
        """A new run in ``path``, or the one that is there if its configuration is the same.

        Raises:
            StructAlignError: what is there was trained otherwise (naming the difference), or is
                not a run; a stream that the cache cannot give.
        """
        config = {
            "method": method.name,
            "source": method.source,
            "file_hash": method.file_hash,
            "dataset": cache.catalog.dataset,
            "tasks": tasks,
            "seed": seed,
            "fingerprint": cache.fingerprint,
            "settings": method.as_json(),
        }
        run = cls(path, config, cache, device)
        run._check_fits_cache()
        if (path / "config.json").is_file():
            classes = len(cache.catalog.categories)
            found = legacy.upgrade_config(read_run_config(path), classes)
            if overwrite:
                _refuse_while_trained(path)
                shutil.rmtree(path)
            elif differs := _differences(found, config):
                raise StructAlignError(
                    f"run {path} exists with another configuration ({'; '.join(differs[:4])}); "
                    "give another --out, or train it with --overwrite"
                )
            else:
                legacy.refuse_to_continue(path, found, len(run.stream) - run.finished)
                return cls(path, found, cache, device)
        elif path.exists() and any(not e.name.startswith(".config.json.") for e in path.iterdir()):
            raise StructAlignError(
                f"{path} is a folder with something else in it; give another --out"
            )
        path.mkdir(parents=True, exist_ok=True)
        if method.file_hash is not None:
            shutil.copyfile(method.source, path / METHOD_COPY)
        write_text(path / "config.json", json.dumps(config, indent=1) + "\n")
        return run

    def _check_fits_cache(self) -> None:
        """Raises StructAlignError for a stream or a method that does not fit the cache."""
        _ = self.stream
        self.new_method()

    def _check_method_file(self, path: Path, wanted: str) -> None:
        """Raises StructAlignError unless the method's own file is as the run was trained with.

        It is executed, so a run that was handed over must not bring its own.
        """
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
        """Its tasks; a joint run has one, of all categories."""
        categories = self.cache.catalog.categories
        groups = equal_tasks(categories, self.config["tasks"])
        if self.settings.stream == "joint":
            groups = [tuple(categories)]
        return TaskStream(self.cache, groups, self.settings, self.config["seed"], self.device)

    @cached_property
    def backbone(self) -> Backbone:
        """The frozen part after the cut."""
        if self.device.type == "cpu":
            prepare_cpu()
        return load_frozen(self.cache.frozen, self.cache.spec.weights_of_parts)

    def new_method(self) -> Method:
        """The method before task 1."""
        config = self.method_config
        method = method_class(config.source)(self.backbone, config, self.config["seed"])
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
        folder = self.task_folder(number)
        if legacy.is_legacy(folder):
            method.load_state(legacy.load_state(folder, number, method))
        else:
            method.load_state(load_tensors(folder / "state.safetensors"))
        method.task = number
        method.eval()

    def save_task(self, number: int, method: Method, blocks: Mapping[str, Block]) -> None:
        """Write a finished task with its gallery blocks by split; it is never done again."""
        folder = self.task_folder(number)
        building = folder.with_name(f".{folder.name}.tmp")
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir(parents=True)
        save_tensors(building / "state.safetensors", method.state())
        for split, block in blocks.items():
            file = building / f"gallery-{split}"
            save_tensors(file.with_suffix(".safetensors"), {"embeddings": block.embeddings})
            file.with_suffix(".json").write_text(json.dumps(block.clips) + "\n")
        os.rename(building, folder)

    def gallery(self, tasks: int, split: str | None = None) -> Gallery:
        """The stored clips of the first ``tasks`` tasks in a split, by default the evaluated one.

        Tasks that stored nothing of another split are left out. Raises StructAlignError when one
        cannot be read.
        """
        gallery = Gallery()
        for number in range(1, tasks + 1):
            name, key = legacy.gallery_file(self.task_folder(number))
            file = self.task_folder(number) / f"{name}-{split or self.settings.eval_split}"
            if split is None or file.with_suffix(".json").exists():
                clips = tuple(read_part(file.with_suffix(".json")))
                embeddings = load_tensors(file.with_suffix(".safetensors"))[key]
                gallery.add(Block(number, clips, embeddings))
        return gallery

    @overload
    def encode_text(self, texts: str, task: int | None = None) -> Tensor: ...
    @overload
    def encode_text(self, texts: Sequence[str], task: int | None = None) -> Tensor: ...
    def encode_text(self, texts: str | Sequence[str], task: int | None = None) -> Tensor:
        """Unit embeddings of texts by the path of a task, by default the newest.

        Returns:
            float32 [n, D], or [D] for a single text.

        Raises:
            StructAlignError: no finished task.
        """
        several = [texts] if isinstance(texts, str) else list(texts)
        ids = self.method.tokenize(several)
        encoded = self.method.encode_texts(ids, task or self.finished).text
        unit = F.normalize(encoded, dim=-1).cpu()
        return unit[0] if isinstance(texts, str) else unit

    def encode_video(self, video: str | Path, start: float | None = None,
                     end: float | None = None) -> Tensor:  # fmt: skip
        """Unit embeddings of a video file's frames, as the gallery stores them.

        Returns:
            float32 [N, D]; [1, D] for a method that compares whole clips.

        Raises:
            StructAlignError: no finished task, or the video does not decode.
        """
        tokens = torch.from_numpy(self.cache.new_video_tokens(video, start, end))
        return self.method.encode_videos(tokens[None])[0].cpu()


def read_method_config(config: Mapping[str, Any]) -> MethodConfig:
    """The method of a run's configuration; settings added since then take their defaults.

    Raises:
        StructAlignError: settings that this version does not have.
    """
    name, source, wanted = config["method"], config["source"], config.get("file_hash")
    try:
        return make_config(name, source, config["settings"], wanted)
    except StructAlignError as error:
        raise StructAlignError(
            f"this run's settings are not those of this version ({error}); train it again"
        ) from error


def _differences(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Where two configurations differ: 'seed: 0 in the run, 1 now'."""
    if found.get("file_hash") != wanted.get("file_hash"):
        return ["the method's file has changed"]
    there, now = dict(found), dict(wanted)
    if all(there.get(key) == now[key] for key in now if key != "settings"):
        there, now = read_method_config(found).as_json(), dict(wanted["settings"])
    apart = [key for key in now if key != "settings" and there.get(key) != now[key]]
    return [f"{key}: {there.get(key)!r} in the run, {now[key]!r} now" for key in apart]


def _refuse_while_trained(path: Path) -> None:
    lease = Lease(path, "lease")
    if not lease.try_acquire():
        raise StructAlignError(
            f"run {path} is being trained by {lease.holder()}; "
            "stop that first, or give another --out: nothing was overwritten"
        )
