"""A cut backbone's weights as two files: the stem to extract with, the rest to train with.

Each is read without a download and without the other; what was not read holds no weights.
"""

import json
import re
import shutil
from pathlib import Path

from torch import Tensor, nn

from ..runtime.errors import StructAlignError
from ..shared.files import read_json
from ..shared.tensors import load_tensors, save_tensors
from .backbone import (
    BPE_FILE,
    Backbone,
    build_model,
    check_cut,
    hash_digests,
    hash_weights,
    weight_digests,
)
from .identity import Preprocessing

STEM_FILE, FROZEN_FILE = "stem.safetensors", "frozen.safetensors"
DIGESTS_FILE = "weights.json"


def save_frozen(backbone: Backbone, cut: int, folder: Path) -> None:
    """Write what training needs into ``folder``: tail, text tower, tokenizer, configuration."""
    check_cut(backbone, cut)
    _save(backbone.model, cut, False, folder / FROZEN_FILE)
    body = {
        "name": backbone.name,
        "pretrained": backbone.pretrained,
        "weights": backbone.weights,
        "cut": cut,
        "preprocessing": backbone.preprocessing.as_json(),
        "config": backbone.config,
    }
    (folder / "backbone.json").write_text(json.dumps(body, indent=1) + "\n")
    digests = weight_digests(backbone.model.state_dict(), backbone.config, backbone.bpe)
    (folder / DIGESTS_FILE).write_text(json.dumps(digests, indent=1, sort_keys=True) + "\n")
    if backbone.bpe:
        shutil.copyfile(backbone.bpe, folder / BPE_FILE)


def load_frozen(folder: Path, weights: str | None = None) -> Backbone:
    """The backbone after its cut, as ``save_frozen`` wrote it.

    Args:
        folder: holds the files.
        weights: the hash of the whole backbone that every part must fit; None for schema 2.

    Raises:
        StructAlignError: a part is not of that backbone.
    """
    backbone, state = _load(folder, FROZEN_FILE, in_stem=False)
    if weights is not None:
        digests = dict(read_json(folder / DIGESTS_FILE))
        found = weight_digests(state, backbone.config, backbone.bpe)
        if hash_digests(digests) != weights or found.items() - digests.items():
            raise StructAlignError(
                f"{folder / FROZEN_FILE} holds other weights than those its fingerprint was made "
                "from; do not use this cache, extract again"
            )
    return backbone


def save_stem(backbone: Backbone, cut: int, folder: Path) -> str:
    """Write the stem beside what ``save_frozen`` wrote; returns the hash of its weights."""
    return hash_weights(_save(backbone.model, cut, True, folder / STEM_FILE))


def load_stem(folder: Path, weights: str) -> Backbone:
    """The backbone before its cut, as ``save_stem`` wrote it.

    Raises:
        StructAlignError: it is missing, or its hash is not ``weights``.
    """
    backbone, state = _load(folder, STEM_FILE, in_stem=True)
    if hash_weights(state) != weights:
        raise StructAlignError(
            f"{folder / STEM_FILE} does not hold the weights that were written; run extract again"
        )
    return backbone


def _in_stem(name: str, cut: int) -> bool:
    """Whether a parameter belongs to the stem, not to the tail or the text tower."""
    if block := re.match(r"visual\.transformer\.resblocks\.(\d+)\.", name):
        return int(block[1]) < cut
    after = name == "visual.proj" or name.startswith("visual.ln_post.")
    return name.startswith("visual.") and not after


def _save(model: nn.Module, cut: int, in_stem: bool, path: Path) -> dict[str, Tensor]:
    """Save one side's weights, as float16 where that is exact; returns them."""
    state = {n: value for n, value in model.state_dict().items() if _in_stem(n, cut) == in_stem}
    short = {name: value.half() for name, value in state.items()}
    exact = {name for name, value in state.items() if short[name].float().equal(value)}
    save_tensors(path, {n: short[n] if n in exact else value for n, value in state.items()})
    return state


def _load(folder: Path, file: str, in_stem: bool) -> tuple[Backbone, dict[str, Tensor]]:
    body = json.loads((folder / "backbone.json").read_text())
    cut = int(body["cut"])
    model = build_model(body["name"], body["config"], seed=None)
    state = {name: value.float() for name, value in load_tensors(folder / file).items()}
    if set(state) != {name for name in model.state_dict() if _in_stem(name, cut) == in_stem}:
        raise StructAlignError(
            f"{folder / file} does not hold its part of the backbone cut at {cut}; extract again"
        )
    model.load_state_dict(state, strict=False, assign=True)
    model.requires_grad_(False)
    for module in model.modules():
        tensors = (module.named_parameters(recurse=False), module.named_buffers(recurse=False))
        for name in [name for named in tensors for name, value in named if value.is_meta]:
            setattr(module, name, None)  # not read
    bpe = folder / BPE_FILE
    backbone = Backbone(
        body["name"], body["pretrained"], body["config"],
        Preprocessing.from_json(body["preprocessing"]), model, bpe if bpe.is_file() else None,
        body["weights"], cut,
    )  # fmt: skip
    return backbone, state
