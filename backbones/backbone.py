"""A CLIP backbone from open_clip: its weights, its configuration, and its two parts at a cut."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import open_clip
import torch

from ..core.console import log_to_stderr
from ..core.errors import StructAlignError, unknown
from .buffers import fill_buffers
from .checkpoint import read_weights
from .family import Family, Stem, Tail, family_of
from .identity import BackboneIdentity, Preprocessing, check_cut
from .pretrained import DEMO_FOLDER, tag_of_weights, tags_differ, weights_file
from .saved_names import BACKBONE_FILE, BPE_FILE, TOKENIZER_FILE
from .text import TextLayout
from .tokenizer import CaptionTokenizer
from .tokenizer_file import load_tokenizer
from .weight_hashes import hash_digests, weight_digests
from .weight_names import OPENAI_TAG, fitted, is_openai, looks_like, misfit, to_open_clip
from .whole import WholeStem, WholeTail

RANDOM = re.compile(r"random:(\d+)")


@dataclass(frozen=True)
class Backbone:
    """A CLIP with frozen weights in evaluation mode.

    Read back from a cache, the model has no weights before ``cut``: the tokens replace the stem.
    With ``grid`` they replace the whole vision tower (``backbones.whole``): cells a side, 0 for the
    frame's embedding alone.
    ``tokenizer_file`` holds the tokenizer or its merges, None for open_clip's own. ``weights`` is
    the hash of all weights, ``file`` the file that they came from, None if there is none.
    """

    name: str
    pretrained: str
    config: dict[str, Any]
    preprocessing: Preprocessing
    model: open_clip.CLIP | open_clip.CustomTextCLIP
    tokenizer_file: Path | None
    weights: str
    cut: int = 0
    grid: int | None = None
    file: Path | None = None

    @cached_property
    def family(self) -> Family:
        """How this kind of backbone is cut."""
        return family_of(self.name, self.config, whole=True)

    @property
    def identity(self) -> BackboneIdentity:
        """The backbone without its weights."""
        return BackboneIdentity(self.name, self.weights, self.blocks, self.preprocessing)

    @property
    def blocks(self) -> int:
        """Number of vision blocks, the stem's included."""
        return self.family.blocks(self.config)

    @property
    def cut_name(self) -> int | str:
        """The cut as ``--cut`` takes it."""
        return self.cut if self.grid is None else "all"

    @property
    def adaptable(self) -> int:
        """How many vision blocks are left after the cut."""
        return self.blocks - self.cut if self.grid is None else 0

    @property
    def token_shape(self) -> tuple[int, int]:
        """(tokens of a frame, width) of the tokens at any cut, or of the whole tower's."""
        if self.grid is not None:
            return 1 + self.grid**2, int(self.config["embed_dim"])
        return self.family.token_shape(self.config)

    @property
    def random(self) -> bool:
        """Whether the weights were never trained."""
        return RANDOM.fullmatch(self.pretrained) is not None

    def stem(self, cut: int) -> Stem:
        """The part before a cut; with ``grid`` the whole tower, in float16 at the cut.

        Raises StructAlignError unless the cut leaves a block after it.
        """
        weights = self.model.visual.state_dict()
        if self.grid is None:
            check_cut(self.name, self.blocks, cut)
        before = self.family.stem(self.config, self.preprocessing, cut, weights)
        return before if self.grid is None else WholeStem(before, self.middle(cut), self.grid)

    def tail(self, cut: int) -> Tail:
        """The part after a cut. Raises StructAlignError unless it has a block."""
        if self.grid is not None:
            return WholeTail()
        check_cut(self.name, self.blocks, cut)
        return self.middle(cut)

    def middle(self, cut: int) -> Tail:
        """What the whole tower has after a cut."""
        return self.family.tail(self.model, cut)

    @property
    def text(self) -> Any:
        """The module that holds the text tower: open_clip's CLIP has its parts itself."""
        return getattr(self.model, "text", self.model)

    @cached_property
    def layout(self) -> TextLayout:
        """Where captions' words are among their token ids."""
        text = self.config["text_cfg"]
        pool, is_causal = text.get("pool_type", "argmax"), not text.get("no_causal_mask")
        if adds_class := bool(text.get("embed_cls")):
            pool = "last"
        if pool == "argmax":
            return TextLayout(is_causal=is_causal)
        tokenizer = self.tokenizer()
        return TextLayout(pool, is_causal, tokenizer.first, tokenizer.stops, adds_class)

    def tokenizer(self) -> CaptionTokenizer:
        """Captions to token ids [n, context], laid out as ``layout`` says.

        Raises:
            StructAlignError: its file is missing, or not that of the text tower.
        """
        return self._tokenizer

    @cached_property
    def _tokenizer(self) -> CaptionTokenizer:
        return load_tokenizer(self.name, self.config["text_cfg"], self.tokenizer_file)


def is_accepted(name: str, cut: Literal["all"] | None = None) -> bool:
    """Whether a backbone can be cut between blocks, or frozen whole; by its open_clip name."""
    try:
        family_of(name, _configuration(name)[0], whole=cut == "all")
    except StructAlignError:
        return False
    return True


def load_backbone(
    name: str,
    pretrained: str,
    saved: Path | None = None,
    grid: int | None = None,
    tokenizer: Path | None = None,
) -> Backbone:
    """A backbone by name, with weights from a tag, a file, or ``random:SEED``.

    A tag brings its own preprocessing and activation (GELU or QuickGELU).

    Args:
        name: open_clip's, or ``demo``.
        pretrained: open_clip's tag, a file, ``TAG=FILE``, or ``random:SEED``.
        saved: the folder of a backbone that ``save_frozen`` wrote, whose configuration,
            preprocessing and tokenizer are taken instead of the tag's.
        grid: to be frozen whole, with as many cells a side; None to be cut between blocks.
        tokenizer: the tokenizer's file; by default CLIP's, and only captions need another.

    Raises:
        StructAlignError: an unknown name, weights that are missing or not safe to load, or an
            architecture that cannot be cut.
    """
    config, tag, merges = _configuration(name)
    family_of(name, config, grid is not None)  # refuses before anything is downloaded
    seed, file, state = RANDOM.fullmatch(pretrained), None, None
    if not seed:
        file, tag_of_file = weights_file(name, pretrained)
        state = read_weights(file)
        tag_of_file = tag_of_file or (OPENAI_TAG if is_openai(state) else {})
        state, tag = to_open_clip(state, file), {**tag, **tag_of_file}
        if tag_of_file:
            config = _with_activation(config, tag_of_file)
        elif tags_differ(name, config):
            log_to_stderr(
                f"{file} does not say how its weights were trained: taken as '{name}' has it, with "
                f"{'Quick' * bool(config.get('quick_gelu'))}GELU and OpenAI's preprocessing; for "
                "those of a tag give --pretrained TAG=FILE"
            )
    preprocessing = Preprocessing.of(config, tag)
    tokenizer = tokenizer or merges
    if saved:
        tokenizer = saved_tokenizer(saved)
        body = json.loads((saved / BACKBONE_FILE).read_text())
        config, preprocessing = body["config"], Preprocessing.from_json(body["preprocessing"])
    model = build_model(name, config, seed=int(seed[1]) if seed else None)
    if state is not None:
        state = fitted(state, model)
        if reason := misfit(state, model.state_dict()):
            looks = looks_like(state, name, model.state_dict())
            raise StructAlignError(
                f"weights '{pretrained}' do not fit backbone '{name}': {reason}"
                f"{f'; they look like {looks}' if looks else ''}"
            )
        model.load_state_dict(state, assign=True)
        model.requires_grad_(False)
        fill_buffers(model)
    weights = hash_digests(weight_digests(model.state_dict(), config, tokenizer))
    return Backbone(
        name, pretrained, config, preprocessing, model, tokenizer, weights, grid=grid, file=file
    )


def preprocessing_of(name: str, tag: str) -> dict[str, Any]:
    """What a tag's weights were trained with; of every model of open_clip, loads no weights.

    Args:
        name: open_clip's, or ``demo``.
        tag: open_clip's, or ``demo``.

    Returns:
        ``size``, ``mean``, ``std``, ``interpolation``, ``resize_mode``, ``quick_gelu``.

    Raises:
        StructAlignError: an unknown name or tag.
    """
    config, known, _ = _configuration(name)
    if (name, tag) != ("demo", "demo"):
        known = tag_of_weights(name, tag)
        config = _with_activation(config, known)
    preprocessing = asdict(Preprocessing.of(config, known))
    return {**preprocessing, "quick_gelu": bool(config.get("quick_gelu"))}


def saved_tokenizer(folder: Path) -> Path | None:
    """The tokenizer's file in a folder that ``save_frozen`` wrote; None for open_clip's own."""
    files = (folder / TOKENIZER_FILE, folder / BPE_FILE)
    return next((file for file in files if file.is_file()), None)


def build_model(
    name: str, config: dict[str, Any], seed: int | None
) -> open_clip.CLIP | open_clip.CustomTextCLIP:
    """open_clip's model, frozen, in evaluation mode. Raises StructAlignError if it cannot be cut.

    ``seed`` gives random weights on the CPU. None builds on the meta device, where weights take
    neither time nor space until they are loaded.
    """
    family_of(name, config, whole=True)
    arguments = {key: value for key, value in config.items() if key != "custom_text"}
    if "timm_model_name" in config["vision_cfg"]:  # dropout would draw from the global generator
        undropped = {"timm_drop": 0.0, "timm_drop_path": None, "patch_dropout": 0.0}
        arguments["vision_cfg"] = {**config["vision_cfg"], **undropped}
    kind = open_clip.CustomTextCLIP if config.get("custom_text") else open_clip.CLIP
    kind = open_clip.CoCa if "multimodal_cfg" in config else kind
    with torch.random.fork_rng(devices=[]), torch.device("cpu" if seed is not None else "meta"):
        torch.manual_seed(seed or 0)
        model = kind(**arguments)
    return model.requires_grad_(False).eval()


def _with_activation(config: dict[str, Any], tag: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration with the activation that a tag's weights were trained with.

    It stays as it is, and so does its hash, where the two agree.
    """
    quick = bool(tag.get("quick_gelu"))
    same = quick == bool(config.get("quick_gelu"))
    return config if same else {**config, "quick_gelu": quick}


def _configuration(name: str) -> tuple[dict[str, Any], dict[str, Any], Path | None]:
    """A backbone's configuration, preprocessing and merges, as far as its name gives them."""
    if name == "demo":
        body = json.loads((DEMO_FOLDER / "open_clip_config.json").read_text())
        return body["model_cfg"], body["preprocess_cfg"], DEMO_FOLDER / BPE_FILE
    config = open_clip.get_model_config(name)
    if config is None:
        raise unknown("backbone", name, [*open_clip.list_models(), "demo"])
    return config, {}, None
