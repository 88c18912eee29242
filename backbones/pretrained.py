"""Pretrained weights: found by an open_clip tag, or a file."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import open_clip

from ..core.console import log_to_stderr
from ..core.errors import StructAlignError, unknown
from .identity import Preprocessing, split_pretrained

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


def tags_differ(name: str, config: Mapping[str, Any]) -> bool:
    """Whether some tag of a name has another preprocessing or activation than a file is taken to.

    Then a file of its weights may need it, too.
    """
    quick, plain = bool(config.get("quick_gelu")), Preprocessing.of(config, {})
    sources = (tag_of_weights(name, tag) for tag in open_clip.list_pretrained_tags_by_model(name))
    return any(
        bool(source.get("quick_gelu")) != quick or Preprocessing.of(config, source) != plain
        for source in sources
    )
