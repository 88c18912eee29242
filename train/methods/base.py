"""The base class of every method: a continual learner that by default learns nothing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from ...backbones.backbone import Backbone
from ...backbones.text import TextLayout
from ...backbones.tokenizer import CaptionTokenizer
from ...core.errors import StructAlignError
from ..method_config import MethodConfig, TrainSettings
from ..model.adapters import Noise, Route
from ..model.similarity import directed_similarities, global_similarity
from ..model.towers import TextFeatures, Towers, encode_by_length
from ..optimizer import ParameterGroup
from ..seeds import generator
from ..stream import Batch, Task

VIDEO_BATCH = 128


@dataclass(frozen=True)
class NoOptions:
    """No settings beyond those of every method."""


class Encoder:
    """A method's embeddings of clips and captions, and their similarity; here CLIP's as it came."""

    towers: Towers
    settings: TrainSettings
    pads_together: bool = False
    """Whether captions of different lengths are encoded in one padded batch."""

    @property
    def device(self) -> torch.device:
        """The device that it computes on."""
        return self.towers.logit_scale.device

    @property
    def layout(self) -> TextLayout:
        """Where the words of a caption are among its token ids."""
        return self.towers.text.layout

    @property
    def fusion_weight(self) -> float:
        """Weight of word-frame against global similarity."""
        return self.settings.fusion_weight

    def frames(self, tokens: Tensor) -> Tensor:
        """Frame embeddings float32 [B, N, D] of clips' tokens [B, N, P, C], not normalised."""
        return self.towers.frames(tokens)

    def route_of(self, task: int) -> int:
        """The route of a task; tasks with one route encode captions alike."""
        return 0

    def text_features(self, token_ids: Tensor, task: int | None) -> TextFeatures:
        """Captions int64 [B, L] by the route of ``task``, not normalised."""
        return self.towers.text_features(token_ids)

    def gallery_embeddings(self, frames: Tensor) -> Tensor:
        """What the gallery stores of frame embeddings [V, N, D]: by default unit vectors."""
        return F.normalize(frames, dim=-1)

    def encode_frames(self, tokens: Tensor, task: int | None = None) -> Tensor:
        """Frame embeddings [V, N, D] of clips' tokens, in batches, without gradients.

        ``task``: whose route to take where the vision tower has several; by default the newest.
        """
        return in_batches(self.frames, tokens, self.device)

    @torch.no_grad()
    def encode_videos(self, tokens: Tensor, task: int | None = None) -> Tensor:
        """Clips' tokens [V, N, P, C] as the gallery stores them, in batches, without gradients."""
        return self.gallery_embeddings(self.encode_frames(tokens, task))

    def encode_texts(self, token_ids: Tensor, task: int | None = None) -> TextFeatures:
        """Captions int64 [n, L] by the route of ``task``, in batches, without gradients."""
        return encode_by_length(
            lambda part: self.text_features(part, task), token_ids, self.layout, self.device,
            self.pads_together,
        )  # fmt: skip

    def similarity(self, texts: TextFeatures, videos: Tensor) -> dict[str, Tensor]:
        """Similarities of T texts and V gallery embeddings by name, each [T, V].

        Where there are two, each is standardised per text and ``fusion_weight`` is the first's
        weight in the score; of more, their mean is the score. ``word_to_frame`` and
        ``frame_to_word`` are the halves of ``word_frame``: they explain it and are not fused.
        """
        to_frame, to_word = directed_similarities(videos, texts.words, texts.lengths)
        return {
            "word_frame": 0.5 * (to_frame + to_word).T,
            "global": global_similarity(videos, texts.text).T,
            "word_to_frame": to_frame.T,
            "frame_to_word": to_word.T,
        }


class Method(Encoder, nn.Module):
    """A continual learner. It meets tasks one at a time and never knows how many will follow.

    Parameters hold what it learns, buffers what it remembers; a checkpoint has both. Random draws
    come from ``draws(purpose)``. Override what differs; call ``super()`` in ``begin_task``,
    ``end_task`` and ``__init__``. ``towers`` are CLIP after the cache's cut, frozen; ``options``,
    of class ``Options``, the method's own settings; ``task`` is the current one, from 1.
    """

    Options: ClassVar[type[Any]] = NoOptions
    is_pretrained: ClassVar[bool] = False
    """Whether it equals the pre-trained towers: its figures are then the zero-shot ones."""

    def __init__(self, backbone: Backbone, config: MethodConfig, seed: int) -> None:
        super().__init__()
        self.options, self.settings, self.seed = config.options, config.settings, seed
        self.towers = Towers(backbone, self.settings.compute)
        self._make_tokenizer = backbone.tokenizer
        self.task = 0
        self.generators: dict[str, Generator] = {}

    # A task's life, called by the loop.

    def begin_task(self, task: Task) -> None:
        """Prepare before the first epoch: grow, embed with a teacher."""
        self.task, self.generators = task.number, {}

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The weighted terms of the loss by name, scalars to be summed."""
        return {}

    def after_step(self, step: int) -> None:
        """Follow optimizer step ``step`` of a task, from 0, as weight averaging does."""

    def end_task(self, task: Task) -> None:
        """Remember after the last epoch what later tasks need."""

    def parameter_groups(self) -> list[ParameterGroup]:
        """The parameters to optimise in the current task; none for a method that does not train."""
        return []

    # How it reads captions, and what it says of itself.

    def tokenize(self, texts: list[str]) -> Tensor:
        """Captions to token ids, int64 [n, L]."""
        return self.tokenizer(texts)

    def read_text(
        self, token_ids: Tensor, experts: nn.ModuleList | None = None, route: Route | None = None
    ) -> TextFeatures:
        """Captions int64 [B, L] by the pre-trained tower and any experts, not normalised."""
        return self.towers.text_features(token_ids, experts, route)

    def encode_query(self, token_ids: Tensor, tasks: Sequence[int]) -> dict[int, TextFeatures]:
        """One caption [1, L] by the routes of some tasks: features by ``route_of`` each."""
        task_of_route = {self.route_of(task): task for task in tasks}
        return {route: self.encode_texts(token_ids, task) for route, task in task_of_route.items()}

    def pretrained_similarity(self, texts: TextFeatures, videos: Tensor) -> dict[str, Tensor]:
        """``similarity`` of the pre-trained towers' embeddings; override where it is learnt."""
        return self.similarity(texts, videos)

    def diagnostics(self, captions: list[Tensor]) -> dict[str, Any]:
        """Figures on the method's state, for the report; ``captions``: token ids by task."""
        return {}

    def warnings(self) -> list[str]:
        """Warnings about the figures after the last task, one line each."""
        return []

    # What the base provides.

    @cached_property
    def tokenizer(self) -> CaptionTokenizer:
        """The tokenizer of the cache's backbone."""
        return self._make_tokenizer()

    @property
    def pretrained(self) -> "Pretrained":
        """The pre-trained towers with this method's similarity, for the zero-shot row."""
        return Pretrained(self)

    def draws(self, purpose: str) -> Generator:
        """The generator for ``purpose`` in the current task; checkpoints keep its state."""
        if purpose not in self.generators:
            self.generators[purpose] = generator(self.seed, purpose, self.task)
        return self.generators[purpose]

    def noise(self) -> Noise | None:
        """Training noise; None outside training."""
        return Noise(self.draws("noise")) if self.training else None

    def learnt(self) -> dict[str, nn.Parameter]:
        """Every parameter outside the pre-trained towers, by name."""
        return {n: p for n, p in self.named_parameters() if not n.startswith("towers.")}

    def state(self) -> dict[str, Tensor]:
        """The content of a checkpoint: learnt parameters and buffers, by name."""
        buffers = {n: b for n, b in self.named_buffers() if not n.startswith("towers.")}
        return {**{name: p.detach() for name, p in self.learnt().items()}, **buffers}

    @torch.no_grad()
    def load_state(self, state: dict[str, Tensor]) -> None:
        """Load the result of ``state``; buffers take its sizes. Raises StructAlignError."""
        if differing := set(state) ^ set(self.state()):
            raise StructAlignError(
                f"the checkpoint does not fit the method: {', '.join(sorted(differing)[:4])}"
            )
        learnt = self.learnt()
        for name, value in state.items():
            if name in learnt:
                learnt[name].copy_(value)
            else:
                owner, _, leaf = name.rpartition(".")
                self.get_submodule(owner)._buffers[leaf] = value.to(self.device)


@torch.no_grad()
def in_batches(encode: Callable[[Tensor], Tensor], tokens: Tensor, device: torch.device) -> Tensor:
    """Encode clips' tokens on ``device``, ``VIDEO_BATCH`` clips at a time."""
    return torch.cat([encode(part.to(device)) for part in tokens.split(VIDEO_BATCH)])


class Pretrained(Encoder):
    """A method's pre-trained towers, with the method's own text reading and similarity."""

    def __init__(self, method: Method) -> None:
        self._method, self.towers, self.settings = method, method.towers, method.settings
        self.pads_together = method.pads_together

    def text_features(self, token_ids: Tensor, task: int | None) -> TextFeatures:
        """Captions by the pre-trained tower, whatever the task."""
        return self._method.read_text(token_ids)

    def gallery_embeddings(self, frames: Tensor) -> Tensor:
        """As the method's gallery would store them."""
        return self._method.gallery_embeddings(frames)

    def similarity(self, texts: TextFeatures, videos: Tensor) -> dict[str, Tensor]:
        """The method's similarity, without what it has learnt."""
        return self._method.pretrained_similarity(texts, videos)
