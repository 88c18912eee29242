"""Names of weights: other libraries' to open_clip's, and what does not fit a model."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..core.errors import StructAlignError

PREFIX = re.compile(r"^(?:(?:module|model|clip|clipmodel)\.)+")  # wrappers around the whole model
OPENAI_NUMBERS = ("input_resolution", "context_length", "vocab_size")
OPENAI_TAG = {"quick_gelu": True}  # of every model that OpenAI published
NO_WEIGHT = re.compile(r"(?:.*\.)?(?:attn_mask|position_ids)|" + "|".join(OPENAI_NUMBERS))
HUGGING_FACE = "vision_model.embeddings.patch_embedding.weight"
RENAMED = [
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"^vision_model\.embeddings\.class_embedding$", "visual.class_embedding"),
        (r"^vision_model\.embeddings\.patch_embedding\.", "visual.conv1."),
        (r"^vision_model\.embeddings\.position_embedding\.weight$", "visual.positional_embedding"),
        (r"^vision_model\.pre_layrnorm\.", "visual.ln_pre."),  # transformers' own spelling
        (r"^vision_model\.post_layernorm\.", "visual.ln_post."),
        (r"^vision_model\.encoder\.layers\.", "visual.transformer.resblocks."),
        (r"^visual_projection\.weight$", "visual.proj"),
        (r"^text_model\.embeddings\.token_embedding\.", "token_embedding."),
        (r"^text_model\.embeddings\.position_embedding\.weight$", "positional_embedding"),
        (r"^text_model\.final_layer_norm\.", "ln_final."),
        (r"^text_model\.encoder\.layers\.", "transformer.resblocks."),
        (r"^text_projection\.weight$", "text_projection"),
        (r"(resblocks\.\d+)\.self_attn\.out_proj\.", r"\1.attn.out_proj."),
        (r"(resblocks\.\d+)\.layer_norm([12])\.", r"\1.ln_\2."),
        (r"(resblocks\.\d+)\.mlp\.fc1\.", r"\1.mlp.c_fc."),
        (r"(resblocks\.\d+)\.mlp\.fc2\.", r"\1.mlp.c_proj."),
    )
]
QUERY = re.compile(r"(.*resblocks\.\d+)\.self_attn\.q_proj\.(weight|bias)")
TRANSPOSED = ("visual.proj", "text_projection")  # a Linear's weight there, a matrix here


def is_openai(state: Mapping[str, Tensor]) -> bool:
    """Whether a file is OpenAI's own: three integers lie beside its weights."""
    return all(any(key.endswith(name) for key in state) for name in OPENAI_NUMBERS)


def to_open_clip(state: Mapping[str, Tensor], file: Path) -> dict[str, Tensor]:
    """Weights by open_clip's names, from OpenAI's, Hugging Face's CLIPModel's or a wrapped model's.

    Raises:
        StructAlignError: two weights of the file get the same name.
    """
    named: dict[str, tuple[str, Tensor]] = {}
    for key, value in state.items():
        name = PREFIX.sub("", key.replace("_orig_mod.", ""))
        if NO_WEIGHT.fullmatch(name):
            continue
        if name in named:
            raise StructAlignError(
                f"{file} holds '{name}' twice, as '{named[name][0]}' and '{key}'; keep one of them"
            )
        named[name] = key, value
    weights = {name: value for name, (_, value) in named.items()}
    if HUGGING_FACE in weights:
        weights = _from_hugging_face(weights)
    for name in ("logit_scale", "logit_bias"):
        if name in weights and weights[name].numel() == 1:
            weights[name] = weights[name].reshape(())
    return weights


def fitted(state: dict[str, Tensor], model: Any) -> dict[str, Tensor]:
    """Weights by the names of a model of open_clip, from those that open_clip itself converts.

    These are Apple's own MobileCLIP, a text tower without ``text.`` before its names, and a CLIP
    without the bias of SigLIP's loss.
    """
    from open_clip.convert import convert_state_dict
    from open_clip.model import convert_to_custom_text_state_dict

    weights = convert_state_dict(model, state)
    if hasattr(model, "text"):
        weights = convert_to_custom_text_state_dict(weights)
    if model.logit_bias is not None:
        weights.setdefault("logit_bias", torch.zeros(()))
    return weights


def _from_hugging_face(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    weights = {}
    for key, value in state.items():
        name = key
        for pattern, replacement in RENAMED:
            name = pattern.sub(replacement, name)
        weights[name] = value.T.contiguous() if name in TRANSPOSED else value
    for name in list(weights):
        if not (match := QUERY.fullmatch(name)):
            continue
        parts = [f"{match[1]}.self_attn.{x}_proj.{match[2]}" for x in "qkv"]
        if all(part in weights for part in parts):
            stacked = torch.cat([weights.pop(part) for part in parts])
            weights[f"{match[1]}.attn.in_proj_{match[2]}"] = stacked
    return weights


def misfit(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> str:
    """The first weight that does not fit a model, and what it is like; empty if all fit."""
    for name in wanted:
        if name in state and state[name].shape != wanted[name].shape:
            return f"'{name}' is {_shape(state[name])}, not {_shape(wanted[name])}"
    for names, verb in (
        (wanted.keys() - state.keys(), "lack"),
        (state.keys() - wanted.keys(), "have"),
    ):
        if names:
            first = min(names)
            value = (wanted if verb == "lack" else state)[first]
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            unknown = ", which it does not have" if verb == "have" else ""
            return f"they {verb} '{first}' ({_shape(value)}){more}{unknown}"
    for name, value in state.items():
        if value.dtype != wanted[name].dtype:
            return f"'{name}' is {str(value.dtype).removeprefix('torch.')}, not floats"
        if not value.isfinite().all():
            return f"'{name}' holds values that are not finite"
    return ""


def looks_like(state: Mapping[str, Tensor], name: str, wanted: Mapping[str, Tensor]) -> str:
    """What weights that do not fit backbone ``name`` seem to be; empty where nothing is seen."""
    import open_clip

    found = [model for model in open_clip.list_models() if _matches(state, model)]
    first = next(iter(state))
    kinds = {
        " or ".join(found[:3]): bool(found),
        "a model with LoRA adapters, which have to be merged first": any(
            ".lora_" in key for key in state
        ),
        "a SigLIP": "logit_bias" in state,
        "a model with one of timm's vision towers": any(
            key.startswith("visual.trunk.") for key in state
        ),
        "a vision tower without its text tower": all(
            key.startswith(("visual.", "vision_model.")) for key in state
        ),
        f"{len(state)} tensors of another model, the first '{first}' ({_shape(state[first])})": (
            not state.keys() & wanted.keys()
        ),
    }
    return "" if name in found else next((kind for kind, fits in kinds.items() if fits), "")


def _matches(state: Mapping[str, Tensor], name: str) -> bool:
    """Whether the main sizes are those of a plain ViT of open_clip."""
    import open_clip

    config = open_clip.get_model_config(name)
    vision, text = config["vision_cfg"], config["text_cfg"]
    patch = vision.get("patch_size")
    if not isinstance(patch, int) or "timm_model_name" in vision or "hf_model_name" in text:
        return False
    positions = (vision.get("image_size", 224) // patch) ** 2 + 1
    width, layers = vision.get("width", 768), vision.get("layers", 12)
    sizes = {
        "visual.conv1.weight": [width, 3, patch, patch],
        "visual.positional_embedding": [positions, width],
        "visual.proj": [width, config["embed_dim"]],
        "token_embedding.weight": [text.get("vocab_size", 49408), text.get("width", 512)],
    }
    blocks = {key.split(".")[3] for key in state if key.startswith("visual.transformer.resblocks.")}
    shapes = {key: list(state[key].shape) for key in sizes if key in state}
    return shapes == sizes and len(blocks) == layers


def _shape(value: Tensor) -> str:
    return " x ".join(map(str, value.shape)) or "one number"
