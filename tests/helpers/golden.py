"""A set of golden numbers recorded from the official code, and our model filled with its weights.

Sizes are read from the files, so that any set of the format can be checked.
"""

import json
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import open_clip
import torch
from safetensors.torch import load_file
from structalign.backbones.backbone import Backbone
from structalign.backbones.identity import Preprocessing
from structalign.evaluate.metrics import recall
from structalign.evaluate.ranks import Ranks
from structalign.train.method_config import MethodConfig
from structalign.train.methods.registry import load_method
from structalign.train.methods.structalign.official import OfficialStructAlign
from structalign.train.model.adapters import Noise
from torch import Tensor

SLOTS = ("q", "k", "v", "out")
ACTIVATION = 1e-5  # absolute, for activations of order 1
GRADIENT = 1e-4  # relative L2


class Golden:
    """Tensors of one set by file and name, in float64 where a float64 run was recorded."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
        self.config: dict[str, Any] = self.manifest["config"]
        self._files: dict[str, dict[str, Tensor]] = {}

    def file(self, name: str) -> dict[str, Tensor]:
        """All tensors of a file; floats as float64."""
        if name not in self._files:
            loaded = load_file(self.folder / f"{name}.safetensors")
            self._files[name] = {
                key: value.double() if value.is_floating_point() else value
                for key, value in loaded.items()
            }
        return self._files[name]

    def get(self, file: str, name: str) -> Tensor:
        """One tensor, from the float64 run if there is one."""
        tensors = self.file(file)
        return tensors[f"{name}.f64"] if f"{name}.f64" in tensors else tensors[name]

    def meaning(self, file: str, name: str) -> str:
        """What the manifest says of a tensor."""
        rows = self.manifest["files"][f"{file}.safetensors"]
        listed = (
            rows
            if isinstance(rows, list)
            else next(value for value in rows.values() if isinstance(value, list))
        )
        return str(next(row["meaning"] for row in listed if row["name"] == name))

    @cached_property
    def weights(self) -> dict[str, Tensor]:
        """The whole state dict, HF names."""
        return self.file("1_model_weights")

    @cached_property
    def reference_weights(self) -> dict[str, Tensor]:
        """The frozen reference model's."""
        return {**self.weights, **self.file("8_ref_model_delta")}

    @property
    def method_config(self) -> MethodConfig:
        """The preset ``structalign-released`` at the set's sizes."""
        c = self.config
        sizes = {
            "adapted_blocks": c["adapter_applied_layer"], "experts": c["lora_nums"],
            "rank": c["lora_r"], "lora_alpha": c["lora_alpha"], "top_k": c["topk"],
            "dropout": c["lora_dropout"],
        }  # fmt: skip
        return load_method("structalign-released", "msrvtt", "golden", sizes)

    def backbone(self, weights: dict[str, Tensor], cut: int) -> Backbone:
        """open_clip's model with the set's CLIP weights, in float64."""
        v, t = self.config["vision"], self.config["text"]
        config = {
            "embed_dim": self.config["projection_dim"],
            "quick_gelu": True,
            "vision_cfg": {
                "image_size": v["image_size"], "layers": v["num_hidden_layers"],
                "width": v["hidden_size"], "patch_size": v["patch_size"],
                "head_width": v["hidden_size"] // v["num_attention_heads"],
                "mlp_ratio": v["intermediate_size"] / v["hidden_size"],
            },
            "text_cfg": {
                "context_length": t["max_position_embeddings"], "vocab_size": t["vocab_size"],
                "width": t["hidden_size"],
                "heads": t["num_attention_heads"], "layers": t["num_hidden_layers"],
                "mlp_ratio": t["intermediate_size"] / t["hidden_size"],
            },
        }  # fmt: skip
        model = open_clip.CLIP(**config).double().eval().requires_grad_(False)
        model.load_state_dict(clip_state(weights, v["num_hidden_layers"], t["num_hidden_layers"]))
        preprocessing = Preprocessing(v["image_size"], (0.0,) * 3, (1.0,) * 3)
        return Backbone("golden", "golden", config, preprocessing, model, None, "", cut)

    def method(
        self, weights: dict[str, Tensor] | None = None, cut: int | None = None
    ) -> OfficialStructAlign:
        """Our method with all of the set's weights; ``cut`` defaults to the first adapted block."""
        weights = weights or self.weights
        layers = self.config["vision"]["num_hidden_layers"]
        first = layers - self.config["adapter_applied_layer"]
        cut = first if cut is None else cut
        config = self.method_config
        blocks = min(layers - cut, layers - first)
        config = replace(config, options=replace(config.options, adapted_blocks=blocks))
        method = OfficialStructAlign(self.backbone(weights, cut), config, seed=0)
        method._resize(self.config["task_num"])
        method = method.double().eval()
        with torch.no_grad():
            for name, parameter in method.learnt().items():
                parameter.copy_(learnt_value(name, weights))
        return method


def clip_state(w: dict[str, Tensor], vision_layers: int, text_layers: int) -> dict[str, Tensor]:
    """HF names to open_clip's."""
    c = "clipmodel."
    state = {
        "logit_scale": w[c + "logit_scale"],
        "visual.class_embedding": w[c + "vision_model.embeddings.class_embedding"],
        "visual.conv1.weight": w[c + "vision_model.embeddings.patch_embedding.weight"],
        "visual.positional_embedding": w[c + "vision_model.embeddings.position_embedding.weight"],
        "visual.proj": w[c + "visual_projection.weight"].T,
        "token_embedding.weight": w[c + "text_model.embeddings.token_embedding.weight"],
        "positional_embedding": w[c + "text_model.embeddings.position_embedding.weight"],
        "text_projection": w[c + "text_projection.weight"].T,
    }
    norms = {
        "visual.ln_pre": "vision_model.pre_layrnorm",
        "visual.ln_post": "vision_model.post_layernorm",
        "ln_final": "text_model.final_layer_norm",
    }
    towers = [
        ("visual.transformer", "vision_model", vision_layers),
        ("transformer", "text_model", text_layers),
    ]
    for ours, theirs, layers in towers:
        for i in range(layers):
            o, h = f"{ours}.resblocks.{i}", f"{c}{theirs}.encoder.layers.{i}"
            for kind in ("weight", "bias"):
                state[f"{o}.attn.in_proj_{kind}"] = torch.cat(
                    [w[f"{h}.self_attn.{x}_proj.{kind}"] for x in "qkv"]
                )
                state[f"{o}.attn.out_proj.{kind}"] = w[f"{h}.self_attn.out_proj.{kind}"]
                state[f"{o}.mlp.c_fc.{kind}"] = w[f"{h}.mlp.fc1.{kind}"]
                state[f"{o}.mlp.c_proj.{kind}"] = w[f"{h}.mlp.fc2.{kind}"]
            norms |= {
                f"{o}.ln_1": f"{theirs}.encoder.layers.{i}.layer_norm1",
                f"{o}.ln_2": f"{theirs}.encoder.layers.{i}.layer_norm2",
            }
    for ours, theirs in norms.items():
        for kind in ("weight", "bias"):
            state[f"{ours}.{kind}"] = w[f"{c}{theirs}.{kind}"]
    return state


def official_order(ranks: Ranks) -> Tensor:
    """Metrics in the order in which the official code's were recorded."""
    summary = ranks.summary()
    wanted = [
        summary["R@1"],
        summary["R@5"],
        summary["R@10"],
        100 * float(recall(50)(ranks.values).mean()),
        100 * float(recall(100)(ranks.values).mean()),
        summary["MedR"],
        summary["MeanR"],
    ]
    return torch.tensor(wanted, dtype=torch.float64)


def parts(name: str, experts: int) -> dict[str, Any]:
    """Where the official parameters lie in ours.

    Official name -> index into the parameter called ``name``.
    """
    if name in ("etf_text", "etf_video"):
        return {f"{'etf_proj1' if name == 'etf_text' else 'etf_proj2'}.weight": ()}
    if name.startswith("task_prototypes."):
        return {f"clipmodel.text_model.task_prototype.{name.rsplit('.', 1)[1]}": ()}
    if name.startswith("experts."):
        _, layer, kind = name.split(".")
        base = [
            f"clipmodel.text_model.encoder.layers.{layer}.self_attn.{slot}_lora" for slot in SLOTS
        ]
        if kind == "up":
            return {
                f"{b}.lora_Bs.{e}.weight": (s, e)
                for s, b in enumerate(base)
                for e in range(experts)
            }
        matrix = {"down": "lora_A", "route": "lora_route", "noise": "w_noise"}[kind]
        return {f"{b}.{matrix}.weight": (s,) for s, b in enumerate(base)}
    _, block, kind = name.split(".")
    attention = f"clipmodel.vision_model.encoder.layers.{block}.self_attn"
    if kind == "alpha":
        return {f"{attention}.alpha": ()}
    part, what = kind.split("_")
    if part == "out":
        return {f"{attention}.frame_cross_attention.out_proj.{what}": ()}
    return {f"{attention}.frame_cross_attention.{x}_proj.{what}": i for i, x in enumerate("qkv")}


def learnt_value(name: str, weights: dict[str, Tensor]) -> Tensor:
    """The official weights of one of our parameters."""
    kind = name.rsplit(".", 1)[-1]
    experts = sum(1 for key in weights if ".layers.0.self_attn.q_lora.lora_Bs." in key)
    found = [weights[theirs] for theirs in parts(name, experts)]
    if kind == "up":
        return torch.stack(found).unflatten(0, (4, experts))
    if kind in ("down", "route", "noise"):
        return torch.stack(found)
    return torch.cat(found) if kind.startswith("qkv") else found[0]


def split_like_official(name: str, value: Tensor, experts: int) -> dict[str, Tensor]:
    """One of our tensors (a parameter or its gradient) cut into the official ones."""
    out = {}
    for theirs, index in parts(name, experts).items():
        out[theirs] = (
            value.chunk(3)[index] if isinstance(index, int) else value[index] if index else value
        )
    return out


class RecordedNoise(Noise):
    """Routing noise replayed in the official call order (layer by layer, q k v out).

    No dropout in the recorded steps.
    """

    def __init__(self, draws: Tensor) -> None:
        super().__init__(torch.Generator())
        self.draws, self.at = draws, 0

    def normal(self, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """The next draws."""
        self.at += shape[0]
        return self.draws[self.at - shape[0] : self.at].to(like)


def close(actual: Tensor, expected: Tensor, tolerance: float = ACTIVATION) -> None:
    """Assert |actual - expected| <= tolerance * max(1, largest expected)."""
    assert actual.shape == expected.shape, (actual.shape, expected.shape)
    actual, expected = actual.detach(), expected.detach()
    limit = tolerance * max(1.0, float(expected.abs().max()) if expected.numel() else 1.0)
    worst = float((actual.double() - expected.double()).abs().max()) if expected.numel() else 0.0
    assert worst <= limit, f"off by {worst:.3g}, allowed {limit:.3g}"


def close_gradient(actual: Tensor, expected: Tensor) -> None:
    """Assert relative L2 error within tolerance, absolute for gradients that are zero but for
    rounding.
    """
    assert actual.shape == expected.shape, (actual.shape, expected.shape)
    error, size = float((actual - expected).norm()), float(expected.norm())
    assert error <= GRADIENT * size + 2e-6, f"gradient off by {error:.3g}, its norm is {size:.3g}"
