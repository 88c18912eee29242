"""CLIP with adapters: frame fusion in the vision tower, LoRA experts in the text tower (CTVR)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...backbones.backbone import Backbone
from ...core.errors import StructAlignError
from ...core.ranges import check_fields, option
from ..method_config import MethodConfig
from ..model.adapters import FrameFusion, Noise, Route, TextExperts
from ..model.similarity import global_similarity, word_frame_similarity
from ..model.towers import TextFeatures
from ..optimizer import ParameterGroup
from ..seeds import generator
from ..stream import Batch, Task
from .base import Method

PAPER_BATCH = 32
QUERY_ROUTES = 256  # routes of one caption encoded at a time
SAMPLE = 64  # captions of each task that expert use is measured on


@dataclass(frozen=True)
class AdapterOptions:
    """Sizes of the adapters, fused or global similarity, and whether blocks are compiled."""

    adapted_blocks: int | None = None
    frame_fusion: bool = True
    experts: int = option(10, above=0)
    rank: int = option(64, above=0)
    lora_alpha: float = 256.0
    top_k: int = option(2, above=0)
    dropout: float = option(0.1, at_least=0, below=1)
    similarity: Literal["fused", "global"] = "fused"
    compile: bool = False

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class PairFeatures:
    """A batch's frames [B, N, D], words [B, L, D] with lengths, similarity [B videos, B texts]."""

    frames: Tensor
    words: Tensor
    lengths: Tensor
    similarity: Tensor


class AdaptedMethod(Method):
    """Adapters, and a task prototype for every task; task 1 uses expert 0, others are routed."""

    Options = AdapterOptions
    options: AdapterOptions

    def __init__(self, backbone: Backbone, config: MethodConfig, seed: int) -> None:
        super().__init__(backbone, config, seed)
        rng, o = generator(seed, "initialisation"), self.options
        if o.compile:
            self.towers.compile_blocks()
        available = backbone.adaptable
        adapted = available if o.adapted_blocks is None else o.adapted_blocks
        self.lacks_fusion = o.frame_fusion and not available
        if adapted > available or (available and adapted < 1):
            raise StructAlignError(
                f"adapted_blocks {adapted} needs a cache cut at "
                f"{max(0, backbone.blocks - adapted)} or before; this one is cut at "
                f"{backbone.cut_name}"
            )
        self.frame_fusion = nn.ModuleDict()
        if o.frame_fusion:
            width = backbone.token_shape[1]
            heads = self.towers.video.heads
            for block in range(backbone.blocks - adapted, backbone.blocks):
                self.frame_fusion[str(block)] = FrameFusion(width, heads, block, rng)
        scaling = o.lora_alpha / o.rank
        width = self.towers.text.width
        self.experts = nn.ModuleList(
            TextExperts(width, o.experts, o.rank, scaling, o.top_k, o.dropout, rng)
            for _ in self.towers.text.blocks
        )
        self.task_prototypes = nn.ParameterList()

    def begin_task(self, task: Task) -> None:
        """Add the task's prototype, drawn from N(0, 1 / H)."""
        super().begin_task(task)
        self._resize(task.number)

    def end_task(self, task: Task) -> None:
        """Copy the first expert to all others after task 1."""
        if task.number == 1:
            for experts in self.experts:
                cast(TextExperts, experts).copy_first_expert()

    def parameter_groups(self) -> list[ParameterGroup]:
        """Experts at the text rate, frame fusion at the vision rate, gates and task prototypes."""
        fusion = [p for adapter in self.frame_fusion.values() for p in adapter.named_parameters()]
        gates = [p for name, p in fusion if name == "alpha"]
        experts = [cast(TextExperts, module) for module in self.experts]
        shared = [p for e in experts for p in (e.down, e.route, e.noise)]
        return [
            ParameterGroup("text", shared),
            ParameterGroup("text", [e.up for e in experts], rowwise=True),
            ParameterGroup("vision", [p for name, p in fusion if name != "alpha"]),
            ParameterGroup("other", [*gates, *self.task_prototypes]),
        ]

    def frames(self, tokens: Tensor) -> Tensor:
        """Frame embeddings [B, N, D] through the frame fusion adapters."""
        return self.towers.frames(tokens, self.frame_fusion)

    def text_features(
        self, token_ids: Tensor, task: int | None, noise: Noise | None = None
    ) -> TextFeatures:
        """Captions [B, L] by the route of ``task``: task 1 by expert 0, later ones routed."""
        return self.read_text(token_ids, self.experts, self.route(task, noise))

    def route_of(self, task: int) -> int:
        """The task itself: each has its own task prototype."""
        return task

    @torch.no_grad()
    def encode_query(self, token_ids: Tensor, tasks: Sequence[int]) -> dict[int, TextFeatures]:
        """One caption by the routes of some tasks, the routed ones together in batches."""
        features = {1: self.encode_texts(token_ids, 1)} if 1 in tasks else {}
        token_ids = self.layout.trim(token_ids.cpu()).to(self.device)
        routed = sorted({task for task in tasks if task > 1})
        for part in (routed[n : n + QUERY_ROUTES] for n in range(0, len(routed), QUERY_ROUTES)):
            prototypes = torch.stack([self.task_prototypes[task - 1] for task in part])
            repeated, route = token_ids.expand(len(part), -1), Route(True, prototypes)
            text = self.read_text(repeated, self.experts, route)
            features |= {
                task: TextFeatures(text.words[n, None], text.lengths[n, None], text.text[n, None])
                for n, task in enumerate(part)
            }
        return features

    def route(self, task: int | None, noise: Noise | None = None) -> Route:
        """The route of a task; None routes without a task prototype."""
        prototype = self.task_prototypes[task - 1] if task is not None and task > 1 else None
        return Route(task != 1, prototype, noise)

    def pair_features(self, batch: Batch) -> PairFeatures:
        """Encode a batch; each clip goes through the tower once."""
        frames = self.frames(batch.tokens).index_select(0, batch.index)
        text = self.text_features(batch.token_ids, self.task, self.noise())
        similarity = word_frame_similarity(frames, text.words, text.lengths)
        return PairFeatures(frames, text.words, text.lengths, similarity)

    def logit_factor(self, scale: Tensor, pairs: int) -> Tensor:
        """Factor of the similarities: exp(tau) / sqrt(32), whatever the number of pairs."""
        return scale / PAPER_BATCH**0.5

    def gallery_embeddings(self, frames: Tensor) -> Tensor:
        """Unit frames [V, N, D], or the unit mean frame [V, 1, D] where similarity is global."""
        pooled = self.options.similarity == "global"
        return F.normalize(frames.mean(1, keepdim=True) if pooled else frames, dim=-1)

    def similarity(self, texts: TextFeatures, videos: Tensor) -> dict[str, Tensor]:
        """Word-frame and global similarity, or global alone."""
        if self.options.similarity == "global":
            return {"global": global_similarity(videos, texts.text).T}
        return super().similarity(texts, videos)

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Load a ``state``, with as many task prototypes as it has."""
        self._resize(sum(name.startswith("task_prototypes.") for name in state))
        super().load_state(state)

    def warnings(self) -> list[str]:
        """A line when frame fusion had no block to be put into."""
        if not self.lacks_fusion:
            return []
        return [
            "no frame fusion: the cache holds whole frames (--cut all), texts alone are adapted"
        ]

    @torch.no_grad()
    def diagnostics(self, captions: list[Tensor]) -> dict[str, Any]:
        """Each task's use of the experts, and the value of every frame fusion gate."""
        gates = {
            block: float(cast(FrameFusion, adapter).alpha)
            for block, adapter in self.frame_fusion.items()
        }
        experts = [self.expert_use(token_ids, task) for task, token_ids in enumerate(captions, 1)]
        return {"experts": experts, "gates": gates}

    def expert_use(self, token_ids: Tensor, task: int) -> list[float]:
        """Mean share of each expert in some captions, over blocks and slots; sums to 1."""
        if task == 1:
            return [1.0] + [0.0] * (self.options.experts - 1)
        shares: list[Tensor] = []

        def keep(module: nn.Module, inputs: tuple[Any, ...]) -> None:
            u, slots, pooled, route, _ = inputs
            routed = cast(TextExperts, module)
            weights = routed.gates(routed.routing_input(u, pooled, route), slots, None)  # [S, B, E]
            shares.append(weights.flatten(0, 1).cpu())

        handles = [experts.register_forward_pre_hook(keep) for experts in self.experts]
        try:
            self.encode_texts(token_ids[:SAMPLE], task)
        finally:
            for handle in handles:
                handle.remove()
        return torch.cat(shares).mean(0).tolist()

    def _resize(self, tasks: int) -> None:
        width = self.towers.text.width
        self.task_prototypes = nn.ParameterList(list(self.task_prototypes)[:tasks])
        for number in range(len(self.task_prototypes) + 1, tasks + 1):
            draw = torch.randn(width, generator=generator(self.seed, "task_prototype", number))
            self.task_prototypes.append(nn.Parameter((draw * width**-0.5).to(self.device)))
