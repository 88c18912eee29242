"""The weights files that people hold load, without running code of theirs, or say what is wrong.

Each is made from one small tower, and has to give its weights to the bit.
"""

import argparse
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from safetensors.torch import save_file
from structalign.backbones import load_backbone
from structalign.backbones.backbone import Backbone, build_model
from structalign.core.errors import StructAlignError
from torch import Tensor, nn

OPENAI = {"input_resolution": 48, "context_length": 32, "vocab_size": 998}
State = dict[str, Tensor]


@pytest.fixture(scope="module")
def tower() -> Backbone:
    return load_backbone("demo", "random:3")


def _save(body: Any, folder: Path) -> str:
    torch.save(body, folder / "weights.pt")
    return str(folder / "weights.pt")


class _Tree(nn.Module):
    """Modules that hold a state dict's tensors under its names, as OpenAI's archive does."""

    def __init__(self, state: State) -> None:
        super().__init__()
        inner: dict[str, State] = {}
        for name, value in state.items():
            head, _, rest = name.partition(".")
            if rest:
                inner.setdefault(head, {})[rest] = value
            elif value.is_floating_point():
                self.register_parameter(name, nn.Parameter(value))
            else:
                self.register_buffer(name, value)
        for name, tensors in inner.items():
            self.add_module(name, _Tree(tensors))

    def forward(self, x: Tensor) -> Tensor:
        return x


def _torchscript(state: State, folder: Path) -> str:
    """An archive as ``torch.jit.save`` writes it, in half precision as OpenAI's."""
    numbers = {name: torch.tensor(value) for name, value in OPENAI.items()}
    with pytest.warns(Warning):  # TorchScript is deprecated; OpenAI's files stay what they are
        traced = torch.jit.trace(_Tree({**state, **numbers}).half(), torch.zeros(1))
        torch.jit.save(traced, folder / "ViT-B-32.pt")
    return str(folder / "ViT-B-32.pt")


def _hugging_face(state: State) -> State:
    """Under the names of transformers' CLIPModel."""
    towers = {"visual.transformer": "vision_model", "transformer": "text_model"}
    plain = {
        "visual.class_embedding": "vision_model.embeddings.class_embedding",
        "visual.conv1.weight": "vision_model.embeddings.patch_embedding.weight",
        "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
        "visual.ln_pre.": "vision_model.pre_layrnorm.",
        "visual.ln_post.": "vision_model.post_layernorm.",
        "token_embedding.": "text_model.embeddings.token_embedding.",
        "ln_final.": "text_model.final_layer_norm.",
        "logit_scale": "logit_scale",
    }
    inner = {"ln_1": "layer_norm1", "ln_2": "layer_norm2", "attn.out_proj": "self_attn.out_proj",
             "mlp.c_fc": "mlp.fc1", "mlp.c_proj": "mlp.fc2"}  # fmt: skip
    theirs: State = {
        "text_model.embeddings.position_embedding.weight": state["positional_embedding"],
        "text_model.embeddings.position_ids": torch.arange(32)[None],
        "vision_model.embeddings.position_ids": torch.arange(37)[None],
        "visual_projection.weight": state["visual.proj"].T.contiguous(),
        "text_projection.weight": state["text_projection"].T.contiguous(),
    }
    for name, value in state.items():
        if block := re.fullmatch(r"(.*)\.resblocks\.(\d+)\.(.*)\.?(weight|bias)", name):
            layer = f"{towers[block[1]]}.encoder.layers.{block[2]}."
            if block[3] == "attn.in_proj_":
                for x, part in zip("qkv", value.chunk(3), strict=True):
                    theirs[f"{layer}self_attn.{x}_proj.{block[4]}"] = part.clone()
            else:
                theirs[f"{layer}{inner[block[3].rstrip('.')]}.{block[4]}"] = value
            continue
        for ours, name_there in plain.items():
            if name == ours or (ours.endswith(".") and name.startswith(ours)):
                theirs[name_there + name[len(ours) :]] = value
    return theirs


FORMS: dict[str, Callable[[State, Path], str]] = {
    "module.": lambda s, p: _save({f"module.{k}": v for k, v in s.items()}, p),
    "model.": lambda s, p: _save({"model": {f"model.{k}": v for k, v in s.items()}}, p),
    "compiled": lambda s, p: _save({f"module._orig_mod.{k}": v for k, v in s.items()}, p),
    "a compiled tower": lambda s, p: _save(
        {k.replace("visual.", "visual._orig_mod."): v for k, v in s.items()}, p
    ),
    "numpy scalars": lambda s, p: _save(
        {"best": np.float64(31.5), "rng": np.arange(3), "state_dict": s}, p
    ),
    "arguments": lambda s, p: _save(
        {"args": argparse.Namespace(out=Path("/x")), "model_state_dict": s}, p
    ),
    "a whole module": lambda s, p: _save(_Tree(s), p),
    "a scale of one element": lambda s, p: _save(
        {k: v.reshape(1) if k == "logit_scale" else v for k, v in s.items()}, p
    ),
    "Hugging Face": lambda s, p: _save(_hugging_face(s), p),
    "masks": lambda s, p: _save({**s, "attn_mask": torch.zeros(32, 32)}, p),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_same_weights_in_another_form(form: str, tower: Backbone, tmp_path: Path) -> None:
    file = FORMS[form](dict(tower.model.state_dict()), tmp_path)
    assert load_backbone("demo", file).weights == tower.weights


def test_hugging_faces_safetensors(tower: Backbone, tmp_path: Path) -> None:
    """Under any suffix: the content says what it is."""
    save_file(_hugging_face(dict(tower.model.state_dict())), tmp_path / "model.bin")
    assert load_backbone("demo", str(tmp_path / "model.bin")).weights == tower.weights


@pytest.mark.parametrize("form", ["archive", "state dict"])
def test_openais_own_file_has_quick_gelu(form: str, tower: Backbone, tmp_path: Path) -> None:
    """Its TorchScript archive, and the state dict of it, which holds three integers more."""
    state = {name: value.half() for name, value in tower.model.state_dict().items()}
    if form == "archive":
        file = _torchscript(state, tmp_path)
    else:
        file = _save({**state, **{k: torch.tensor(v) for k, v in OPENAI.items()}}, tmp_path)
    loaded = load_backbone("demo", file)
    assert loaded.config["quick_gelu"] is True and not tower.config.get("quick_gelu")
    for name, value in loaded.model.state_dict().items():
        assert torch.equal(value, state[name].float()), name


def test_no_code_of_a_file_is_run(tower: Backbone, tmp_path: Path) -> None:
    class Touch:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "touched",)

    state = dict(tower.model.state_dict())
    file = _save({"extra": Touch(), "state_dict": state}, tmp_path)
    assert load_backbone("demo", file).weights == tower.weights
    assert not (tmp_path / "touched").exists()
    pickle.loads(pickle.dumps(Touch()))
    assert (tmp_path / "touched").exists()


def _without(state: State, *names: str) -> State:
    return {key: value for key, value in state.items() if key not in names}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: _without(s, "visual.proj", "ln_final.bias"),
         r"they lack 'ln_final.bias' \(128\) and 1 more$"),
        (lambda s: {**s, "visual.extra": torch.zeros(2, 3)},
         r"they have 'visual.extra' \(2 x 3\), which it does not have$"),
        (lambda s: {**s, "visual.conv1.weight": torch.zeros(128, 3, 16, 16)},
         r"'visual.conv1.weight' is 128 x 3 x 16 x 16, not 128 x 3 x 8 x 8$"),
        (lambda s: {**s, "logit_scale": torch.tensor(torch.nan)},
         r"'logit_scale' holds values that are not finite$"),
        (lambda s: {**s, "ln_final.bias": torch.zeros(128, dtype=torch.int8)},
         r"'ln_final.bias' is int8, not floats$"),
        (lambda s: {k: v for k, v in s.items() if k.startswith("visual.")},
         r"they lack .*; they look like a vision tower without its text tower$"),
        (lambda s: {**s, "module.visual.proj": s["visual.proj"]},
         r"holds 'visual.proj' twice, as 'visual.proj' and 'module.visual.proj'; keep one of them"),
        (lambda s: {"layer1.0.conv1.weight": torch.zeros(64, 3, 7, 7)},
         r"1 tensors of another model, the first 'layer1.0.conv1.weight' \(64 x 3 x 7 x 7\)"),
        (lambda s: {"epoch": 3, "optimizer": {}}, r"holds no weights: a dictionary of epoch,"),
        (lambda s: [1, 2], "holds no weights: one object of type list"),
    ],
)  # fmt: skip
def test_what_does_not_fit_says_which_weight_and_what_it_is(
    change: Callable[[State], Any], message: str, tower: Backbone, tmp_path: Path
) -> None:
    file = _save(change(dict(tower.model.state_dict())), tmp_path)
    with pytest.raises(StructAlignError, match=message):
        load_backbone("demo", file)


def test_weights_of_another_backbone_are_recognised(tmp_path: Path) -> None:
    """By their main sizes; the tensors here hold no values of their own."""
    config = open_clip.get_model_config("ViT-B-16")
    meta = build_model("ViT-B-16", config, seed=None).state_dict()
    state = {name: torch.zeros(()).expand(value.shape) for name, value in meta.items()}
    file = _save(state, tmp_path)
    with pytest.raises(StructAlignError, match=r"is .*, not .*; they look like ViT-B-16 or"):
        load_backbone("demo", file)


@pytest.mark.parametrize("cut", [0, 8, 40, 3000])
def test_a_damaged_file_is_one_error_line(cut: int, tower: Backbone, tmp_path: Path) -> None:
    file = Path(_save(dict(tower.model.state_dict()), tmp_path))
    file.write_bytes(file.read_bytes()[:cut])
    with pytest.raises(
        StructAlignError, match=r"is not a file of weights that loads .* or is damaged"
    ):
        load_backbone("demo", str(file))


def test_what_a_file_does_not_say_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A name whose tags differ in preprocessing or activation: nobody knows the file's."""
    config: dict[str, Any] = {
        "embed_dim": 8,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16},
        "text_cfg": {"context_length": 8, "vocab_size": 16, "width": 64, "heads": 1, "layers": 1},
    }
    monkeypatch.setattr(open_clip, "get_model_config", lambda name: config)
    state = dict(build_model("small", config, seed=0).state_dict())
    file = _save(state, tmp_path)
    load_backbone("ViT-B-32", file)
    assert "does not say how its weights were trained: taken as 'ViT-B-32' has it, with GELU" in (
        capsys.readouterr().err
    )
    load_backbone("ViT-B-32", f"openai={file}")
    load_backbone("ViT-L-14-336-quickgelu", _torchscript(state, tmp_path))
    assert capsys.readouterr().err == ""
