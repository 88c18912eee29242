"""Golden numbers of the baselines, and our backbone filled with their weights."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from structalign.backbones.backbone import Backbone
from structalign.backbones.identity import Preprocessing
from structalign.train.methods.clip4clip import CLIP4Clip
from torch import Tensor

from .golden import clip_state

DEFAULT = Path(__file__).parents[3] / "shared" / "reference" / "baselines"
FOLDER = Path(os.environ.get("STRUCTALIGN_BASELINES_REFERENCE") or DEFAULT)
HEADS = {24: 3, 20: 2, 16: 2, 18: 3}  # by width; they are not in the files

needs_reference = pytest.mark.skipif(
    not FOLDER.is_dir(), reason="needs STRUCTALIGN_BASELINES_REFERENCE, the recorded numbers"
)


def arrays(name: str) -> dict[str, Tensor]:
    with np.load(FOLDER / f"{name}.npz", allow_pickle=False) as file:
        found = {key: torch.from_numpy(file[key]) for key in file.files}
    return {k: v.double() if v.is_floating_point() else v.long() for k, v in found.items()}


def backbone(weights: dict[str, Tensor], prefix: str, cut: int) -> Backbone:
    """open_clip's model in float64 with recorded weights."""
    named = {"clipmodel." + k.removeprefix(prefix): v for k, v in weights.items()}
    vision, text = (f"clipmodel.{tower}_model." for tower in ("vision", "text"))
    patch = named[vision + "embeddings.patch_embedding.weight"]
    tokens = len(named[vision + "embeddings.position_embedding.weight"])
    layers = [
        sum(".layer_norm1.weight" in k and k.startswith(t) for k in named) for t in (vision, text)
    ]
    vocabulary, width = named[text + "embeddings.token_embedding.weight"].shape
    config: dict[str, Any] = {
        "embed_dim": len(named["clipmodel.visual_projection.weight"]),
        "quick_gelu": True,
        "vision_cfg": {
            "image_size": round((tokens - 1) ** 0.5) * patch.shape[-1],
            "patch_size": patch.shape[-1],
            "layers": layers[0],
            "width": len(patch),
            "head_width": len(patch) // HEADS[len(patch)],
        },
        "text_cfg": {
            "context_length": len(named[text + "embeddings.position_embedding.weight"]),
            "vocab_size": vocabulary,
            "width": width,
            "heads": HEADS[width],
            "layers": layers[1],
        },
    }
    model = open_clip.CLIP(**config).double().eval().requires_grad_(False)
    model.load_state_dict(clip_state(named, *layers))
    size = int(config["vision_cfg"]["image_size"])
    return Backbone(
        "golden", "golden", config, Preprocessing(size, (0,) * 3, (1,) * 3), model, None, "", cut
    )


def reference_gradients(
    method: CLIP4Clip, gradients: dict[str, Tensor]
) -> list[tuple[str, Tensor, Tensor]]:
    """(name, ours, theirs) of every trained parameter but the token embedding's unused rows."""
    clip = {k: v.grad for k, v in method.student.named_parameters() if v.grad is not None}
    prefixed = {"clipmodel." + k.removeprefix("g."): v for k, v in gradients.items()}
    cut, text = method.student.cut, len(method.student.text.blocks)
    theirs = clip_state(prefixed, cut + len(method.student.video.blocks), text)
    names = {"video.projection": "visual.proj", "text.projection": "text_projection"}
    pairs = []
    for ours, gradient in clip.items():
        name = names.get(ours, ours)
        if ours.startswith("video.blocks."):
            _, _, offset, rest = ours.split(".", 3)
            name = f"visual.transformer.resblocks.{int(offset) + cut}.{rest}"
        name = name.replace("video.ln_post", "visual.ln_post").replace(
            "text.blocks", "transformer.resblocks"
        )
        pairs.append((ours, gradient, theirs[name.removeprefix("text.")]))
    return pairs
