"""The frozen weights after the cut as files of a cache: training needs no download."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from ..core.errors import StructAlignError
from ..core.files import read_json
from ..core.tensors import halve_where_exact, load_tensors, save_tensors
from .backbone import Backbone, build_model, saved_tokenizer
from .buffers import fill_buffers
from .family import Family, family_of
from .identity import Preprocessing, check_cut
from .saved_names import BACKBONE_FILE, BPE_FILE, DIGESTS_FILE, FROZEN_FILE, TOKENIZER_FILE
from .weight_hashes import hash_digests, weight_digests


def save_frozen(backbone: Backbone, cut: int, folder: Path) -> None:
    """Write what training needs into ``folder``: tail, text tower, tokenizer, configuration.

    Raises StructAlignError unless the cut leaves a block after it.
    """
    if backbone.grid is None:
        check_cut(backbone.name, backbone.blocks, cut)
    state = backbone.model.state_dict()
    is_kept = _kept(backbone.family, cut, backbone.grid)
    after = {name: value for name, value in state.items() if is_kept(name)}
    save_tensors(folder / FROZEN_FILE, halve_where_exact(after))
    body = {
        "name": backbone.name,
        "pretrained": backbone.pretrained,
        "weights": backbone.weights,
        "cut": cut,
        **({} if backbone.grid is None else {"grid": backbone.grid}),
        "preprocessing": backbone.preprocessing.as_json(),
        "config": backbone.config,
    }
    (folder / BACKBONE_FILE).write_text(json.dumps(body, indent=1) + "\n")
    digests = weight_digests(state, backbone.config, backbone.tokenizer_file)
    (folder / DIGESTS_FILE).write_text(json.dumps(digests, indent=1, sort_keys=True) + "\n")
    if file := backbone.tokenizer_file:
        kind = TOKENIZER_FILE if file.suffix == ".json" else BPE_FILE
        shutil.copyfile(file, folder / kind)


def load_frozen(folder: Path, weights: str) -> Backbone:
    """The backbone after its cut that ``save_frozen`` wrote.

    Raises StructAlignError if a part does not fit ``weights``, the hash of the whole backbone.
    """
    body = json.loads((folder / BACKBONE_FILE).read_text())
    cut, grid, file = int(body["cut"]), body.get("grid"), folder / FROZEN_FILE
    family = family_of(body["name"], body["config"], whole=True)
    model = build_model(body["name"], body["config"], seed=None)
    state = {name: value.float() for name, value in load_tensors(file).items()}
    if set(state) != set(filter(_kept(family, cut, grid), model.state_dict())):
        raise StructAlignError(
            f"{file} does not hold its part of the backbone cut at {cut}; extract again"
        )
    model.load_state_dict(state, strict=False, assign=True)
    model.requires_grad_(False)
    fill_buffers(model)
    for module in model.modules():
        tensors = (module.named_parameters(recurse=False), module.named_buffers(recurse=False))
        for name in [name for named in tensors for name, value in named if value.is_meta]:
            setattr(module, name, None)  # the stem's
    backbone = Backbone(
        body["name"], body["pretrained"], body["config"],
        Preprocessing.from_json(body["preprocessing"]), model, saved_tokenizer(folder),
        body["weights"], cut, grid,
    )  # fmt: skip
    whole = dict(read_json(folder / DIGESTS_FILE))
    part = weight_digests(state, backbone.config, backbone.tokenizer_file)
    if hash_digests(whole) != weights or part.items() - whole.items():
        raise StructAlignError(
            f"{file} holds other weights than those its fingerprint was made "
            "from; do not use this cache, extract again"
        )
    return backbone


def _kept(family: Family, cut: int, grid: int | None) -> Callable[[str], bool]:
    """Which weights a cache needs, by open_clip's names: those after the cut, or of texts alone."""
    if grid is not None:
        return lambda name: not name.startswith(("visual.", "text_decoder."))
    return lambda name: not family.is_in_stem(name, cut)
