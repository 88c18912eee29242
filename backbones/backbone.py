"""A CLIP backbone from open_clip: its weights, its configuration, and whether it can be cut."""

import json
import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.tokenizer import SimpleTokenizer
from open_clip.transformer import ResidualAttentionBlock, VisionTransformer
from safetensors.torch import load_file
from torch import Tensor

from ..core.console import log_to_stderr
from ..core.errors import StructAlignError, unknown
from .identity import BackboneIdentity, Preprocessing
from .saved_names import BPE_FILE
from .stem import KNOWN, Stem
from .weight_hashes import hash_digests, weight_digests

DEMO_FOLDER = Path(__file__).parent / "demo"
HUB_FILE = "open_clip_model.safetensors"
RANDOM = re.compile(r"random:(\d+)")


@dataclass(frozen=True)
class Backbone:
    """A CLIP with frozen weights in evaluation mode.

    After a cache is opened the embedding and the vision blocks before ``cut`` hold no weights: the
    stem's work is in the tokens. ``file`` is where the weights were read, None where they came from
    no file.
    """

    name: str
    pretrained: str
    config: dict[str, Any]
    preprocessing: Preprocessing
    model: open_clip.CLIP
    bpe: Path | None
    weights: str
    cut: int = 0
    file: Path | None = None

    @property
    def identity(self) -> BackboneIdentity:
        """What it is, without the weights themselves."""
        return BackboneIdentity(self.name, self.weights, self.blocks, self.preprocessing)

    @property
    def blocks(self) -> int:
        """Number of vision blocks, the stem's included."""
        return int(self.config["vision_cfg"]["layers"])

    @property
    def random(self) -> bool:
        """Whether the weights were never trained."""
        return RANDOM.fullmatch(self.pretrained) is not None

    def stem(self, cut: int) -> Stem:
        """The part before a cut. Raises StructAlignError for a cut that leaves no block."""
        check_cut(self, cut)
        return Stem(self.config, self.preprocessing, cut, self.model.visual.state_dict())

    def tokenizer(self) -> SimpleTokenizer:
        """Captions to ids [n, context]: start, words, end (the highest id), zeros."""
        text = self.config["text_cfg"]
        length = text.get("context_length", 77)
        if self.bpe is None:
            return SimpleTokenizer(context_length=length)
        return SimpleTokenizer(str(self.bpe), context_length=length)


def check_cut(backbone: Backbone, cut: int) -> None:
    """Raises StructAlignError unless 0 <= cut < blocks, which leaves a block to adapt."""
    if not 0 <= cut < backbone.blocks:
        raise StructAlignError(
            f"cut {cut} does not lie in 0..{backbone.blocks - 1}: '{backbone.name}' has "
            f"{backbone.blocks} vision blocks"
        )


def load_backbone(name: str, pretrained: str) -> Backbone:
    """A backbone by name, with weights from a tag, a file, or ``random:SEED``.

    Args:
        name: open_clip's, or ``demo``.
        pretrained: open_clip's tag, a file, or ``random:SEED``.

    Raises:
        StructAlignError: an unknown name, weights that are missing or not safe to load, or an
            architecture that cannot be cut.
    """
    if name == "demo":
        body = json.loads((DEMO_FOLDER / "open_clip_config.json").read_text())
        config, preprocess, bpe = body["model_cfg"], body["preprocess_cfg"], DEMO_FOLDER / BPE_FILE
    else:
        config, preprocess, bpe = open_clip.get_model_config(name), {}, None
        if config is None:
            raise unknown("backbone", name, [*open_clip.list_models(), "demo"])
    seed = RANDOM.fullmatch(pretrained)
    model = build_model(name, config, seed=int(seed[1]) if seed else None)
    file = None
    if not seed:
        file, tag_preprocess = _weights_file(name, pretrained)
        state, preprocess = _read_state(file), {**preprocess, **tag_preprocess}
        try:
            model.load_state_dict(state, assign=True)
        except RuntimeError as error:
            raise StructAlignError(
                f"weights '{pretrained}' do not fit backbone '{name}': "
                f"{' '.join(str(error).split())[:200]}"
            ) from error
        model.requires_grad_(False)
        # The mask is no weight, so the file does not hold it.
        model.attn_mask = torch.full(model.attn_mask.shape, -torch.inf).triu(1)
    preprocessing = Preprocessing(
        size=int(config["vision_cfg"]["image_size"]),
        mean=tuple(preprocess.get("mean") or open_clip.OPENAI_DATASET_MEAN),
        std=tuple(preprocess.get("std") or open_clip.OPENAI_DATASET_STD),
        interpolation=preprocess.get("interpolation") or "bicubic",
    )
    weights = hash_digests(weight_digests(model.state_dict(), config, bpe))
    return Backbone(name, pretrained, config, preprocessing, model, bpe, weights, file=file)


def build_model(name: str, config: dict[str, Any], seed: int | None) -> open_clip.CLIP:
    """open_clip's model of this configuration, frozen, checked to be one we can cut.

    With seeded random weights on the CPU, or, without a seed, on the meta device, where weights
    take neither time nor space until they are loaded.
    """
    with torch.random.fork_rng(devices=[]), torch.device("cpu" if seed is not None else "meta"):
        torch.manual_seed(seed or 0)
        model = open_clip.CLIP(**config) if not _foreign(config) else None
    reason = _foreign(config) or _cannot_cut(model)
    if model is None or reason:
        raise StructAlignError(
            f"backbone '{name}' cannot be cut ({reason}); use a plain ViT CLIP such as "
            "ViT-B-32-quickgelu"
        )
    return model.requires_grad_(False).eval()


def _foreign(config: dict[str, Any]) -> str:
    """Why open_clip would not build a plain CLIP from this configuration; empty when it would."""
    vision, text = config.get("vision_cfg", {}), config.get("text_cfg", {})
    hugging_face = text.get("hf_model_name") or text.get("hf_tokenizer_name")
    if config.get("custom_text") or hugging_face or "multimodal_cfg" in config:
        return "its text tower is not CLIP's"
    if vision.get("timm_model_name") or not isinstance(vision.get("layers"), int):
        return "its vision tower is not a ViT"
    if others := sorted(vision.keys() - KNOWN):
        return f"its vision tower has '{others[0]}'"
    return ""


def _cannot_cut(model: open_clip.CLIP | None) -> str:
    if model is None or not isinstance(model.visual, VisionTransformer):
        return "its vision tower is not a ViT"
    visual = model.visual
    if visual.attn_pool is not None or visual.pool_type != "tok" or visual.final_ln_after_pool:
        return "it does not pool by its class token"
    blocks = (*visual.transformer.resblocks, *model.transformer.resblocks)
    if not all(isinstance(block, ResidualAttentionBlock) for block in blocks):
        return "its blocks are not CLIP's"
    if model.text_pool_type != "argmax" or model.attn_mask is None:
        return "its text tower is not causal"
    return ""


def _weights_file(name: str, pretrained: str) -> tuple[Path, dict[str, Any]]:
    """Where the weights are, downloaded if need be, and the tag's own preprocessing."""
    if name == "demo" and pretrained == "demo":
        return DEMO_FOLDER / "open_clip_model.safetensors", {}
    path = Path(pretrained).expanduser()
    if path.is_file():
        return path.resolve(), {}
    tags = open_clip.list_pretrained_tags_by_model(name)
    if pretrained not in tags:
        own = ["demo"] if name == "demo" else []
        raise unknown("weights", pretrained, [*tags, "random:0", *own])
    source = open_clip.get_pretrained_cfg(name, pretrained)
    for chatty in ("open_clip", "huggingface_hub"):
        logging.getLogger(chatty).setLevel(logging.CRITICAL)
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
            f"fetch {where} elsewhere and pass its file with --pretrained FILE"
        ) from error
    return path, source


def _read_state(path: Path) -> dict[str, Tensor]:
    """A state dict on the CPU in float32. Nothing in the file is executed."""
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
