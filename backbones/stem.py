"""A stem's weights as a file: how an extraction hands the stem to its workers."""

import json
from pathlib import Path

from ..core.errors import StructAlignError
from ..core.tensors import halve_where_exact, load_tensors, save_tensors
from .buffers import fill_buffers
from .family import Stem, family_of
from .identity import Preprocessing
from .saved_names import BACKBONE_FILE, STEM_FILE
from .weight_hashes import hash_weights
from .whole import WholeStem


def save_stem(stem: Stem, folder: Path) -> str:
    """Write a stem's weights into the folder that ``save_frozen`` wrote to; returns their hash."""
    state = stem.state_dict()
    save_tensors(folder / STEM_FILE, halve_where_exact(state))
    return hash_weights(state)


def load_stem(folder: Path, weights: str) -> Stem:
    """The stem that ``save_stem`` wrote. Raises StructAlignError unless it has that hash."""
    # Copies: a file's tensors lie at odd addresses, where convolutions round differently.
    tensors = load_tensors(folder / STEM_FILE)
    state = {name: value.float().clone() for name, value in tensors.items()}
    if hash_weights(state) != weights:
        raise StructAlignError(
            f"{folder / STEM_FILE} does not hold the weights that were written; run extract again"
        )
    body = json.loads((folder / BACKBONE_FILE).read_text())
    preprocessing = Preprocessing.from_json(body["preprocessing"])
    family = family_of(body["name"], body["config"], whole=True)
    if "grid" not in body:
        return family.stem(body["config"], preprocessing, body["cut"], state)
    from .backbone import build_model  # slow: open_clip

    model = build_model(body["name"], body["config"], seed=None)
    empty = model.visual.state_dict()
    before = family.stem(body["config"], preprocessing, body["cut"], empty)
    stem = WholeStem(before, family.tail(model, body["cut"]), body["grid"])
    stem.take(state)
    fill_buffers(stem)
    return stem
