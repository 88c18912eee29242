"""Pretrained weights: found by an open_clip tag or in a file, and read safely."""

import logging
from pathlib import Path
from typing import Any

import open_clip
import torch
from safetensors.torch import load_file
from torch import Tensor

from ..core.console import log_to_stderr
from ..core.errors import StructAlignError, unknown
from .identity import split_pretrained

DEMO_FOLDER = Path(__file__).parent / "demo"
HUB_FILE = "open_clip_model.safetensors"


def tag_of_weights(name: str, tag: str) -> dict[str, Any]:
    """What open_clip knows of a tag: where its weights lie, their preprocessing and activation.

    Raises StructAlignError for a tag that the backbone does not have.
    """
    tags = open_clip.list_pretrained_tags_by_model(name)
    if tag not in tags:
        demo = ["demo"] if name == "demo" else []
        raise unknown("weights", tag, [*tags, "random:0", *demo])
    return dict(open_clip.get_pretrained_cfg(name, tag))


def weights_file(name: str, pretrained: str) -> tuple[Path, dict[str, Any]]:
    """The file of some weights, downloaded if need be, and what open_clip knows of their tag.

    Args:
        name: the backbone's.
        pretrained: open_clip's tag, a file, or ``TAG=FILE``.

    Raises:
        StructAlignError: an unknown tag, or a download that fails.
    """
    if name == "demo" and pretrained == "demo":
        return DEMO_FOLDER / HUB_FILE, {}
    tag, file = split_pretrained(pretrained)
    if file:
        return file, tag_of_weights(name, tag) if tag else {}
    source = tag_of_weights(name, tag)
    for library in ("open_clip", "huggingface_hub"):
        logging.getLogger(library).setLevel(logging.CRITICAL)
    log_to_stderr(f"weights '{pretrained}' of '{name}': from the hub's cache, or downloaded now")
    try:
        path = Path(open_clip.download_pretrained(source))
    except Exception as error:
        hub = source.get("hf_hub")
        where = source.get("url")
        if hub:
            where = f"https://huggingface.co/{hub.rstrip('/')}/resolve/main/{HUB_FILE}"
        raise StructAlignError(
            f"weights '{pretrained}' of '{name}' cannot be downloaded ({type(error).__name__}); "
            f"fetch {where} elsewhere and pass its file with --pretrained {tag}=FILE"
        ) from error
    return path, source


def read_state(path: Path) -> dict[str, Tensor]:
    """A state dict on the CPU in float32. Loading never runs code from the file.

    Raises:
        StructAlignError: the file holds something else.
    """
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
            state = state.get("state_dict", state)
    except Exception as error:
        raise StructAlignError(
            f"{path} is not safetensors, nor a plain state dict that loads without running code "
            f"({type(error).__name__}); convert it"
        ) from error
    tensors = {k.removeprefix("module."): v for k, v in state.items() if isinstance(v, Tensor)}
    return {k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}
