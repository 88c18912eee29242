"""Where the official StructAlign code deviates from the paper; an option chooses each deviation.

``docs/protocol.md`` lists them.
"""

import torch
from torch import Tensor, nn

from ....backbones.backbone import Backbone
from ....backbones.text import TextLayout
from ....core.errors import StructAlignError
from ...contrastive import pooled_unit
from ...method_config import MethodConfig
from ...model.adapters import Route
from ...model.towers import TextFeatures
from ...optimizer import ParameterGroup
from ...stream import Task
from .method import StructAlign


class OfficialStructAlign(StructAlign):
    """StructAlign with those deviations of the official code that its options choose."""

    def __init__(self, backbone: Backbone, config: MethodConfig, seed: int) -> None:
        super().__init__(backbone, config, seed)
        if self.options.words == "released" and self.layout != TextLayout():
            raise StructAlignError(
                "words=released pads captions as CLIP's tokenizer ends them, and "
                f"'{backbone.name}' reads them in another way; set words=real"
            )
        self.pads_together = self.options.words == "released"
        if self.options.clip_scope == "all":
            # In no optimizer group, so never updated nor cleared: the gradients add up in the norm.
            towers = self.towers
            for p in (towers.video.projection, towers.text.projection, towers.logit_scale):
                if p is not None:
                    p.requires_grad_(True)
        elif self.options.etf_projections == "fixed_swapped":
            self.etf_text.requires_grad_(False)
            self.etf_video.requires_grad_(False)

    def logit_factor(self, scale: Tensor, pairs: int) -> Tensor:
        """exp(tau) divided by the root of the batch's own size, with ``logits=batch``."""
        if self.options.logits == "fixed":
            return super().logit_factor(scale, pairs)
        return scale / pairs**0.5

    def project_prototypes(self, text: Tensor, video: Tensor) -> tuple[Tensor, Tensor]:
        """With ``etf_projections=fixed_swapped``, each side by the other's projection."""
        if self.options.etf_projections == "trained":
            return super().project_prototypes(text, video)
        return text @ self.etf_video.T, video @ self.etf_text.T

    def parameter_groups(self) -> list[ParameterGroup]:
        """Without the ETF loss's projections, unless ``etf_projections=trained``."""
        groups = super().parameter_groups()
        return groups if self.options.etf_projections == "trained" else groups[:-1]

    def prototype_features(self, task: Task) -> tuple[Tensor, Tensor, Tensor]:
        """Class, unit text and unit video feature of each pair, as the options choose them.

        Raises StructAlignError for ``prototypes=released`` and a task without a whole batch.
        """
        if self.options.prototypes == "released":
            labels, text, video = self._unrouted_features(task)
        else:
            labels, text, video = super().prototype_features(task)
        if self.options.prototype_labels == "within_task":
            labels = labels - task.first_class
        return labels, text, video

    @torch.no_grad()
    def _unrouted_features(self, task: Task) -> tuple[Tensor, Tensor, Tensor]:
        """Features routed without a task prototype, of the whole batches of one more epoch."""
        size = self.settings.batch
        whole = [b for b in task.batches(self.settings.epochs) if len(b.token_ids) == size]
        if not whole:
            raise StructAlignError(
                f"prototypes=released needs a whole batch of {size} pairs; "
                f"task {task.number} has none"
            )
        texts = [self.encode_texts(batch.token_ids, None) for batch in whole]
        videos = [pooled_unit(self.frames(batch.tokens))[batch.index] for batch in whole]
        labels = torch.cat([batch.labels for batch in whole])
        pooled = torch.cat([pooled_unit(text.words, text.lengths) for text in texts])
        return labels, pooled, torch.cat(videos)

    def tokenize(self, texts: list[str]) -> Tensor:
        """Captions to token ids, int64 [n, L]; ``words=released`` pads with the end id."""
        token_ids = super().tokenize(texts)
        return official_padding(token_ids) if self.options.words == "released" else token_ids

    def read_text(
        self,
        token_ids: Tensor,
        experts: nn.ModuleList | None = None,
        route: Route | None = None,
        visible: Tensor | None = None,
    ) -> TextFeatures:
        """Captions as the base reads them; with ``words=released`` padding counts as words.

        ``visible``, bool [B, L]: what may be attended to; by default up to the end of the caption.
        """
        if self.options.words == "real":
            return super().read_text(token_ids, experts, route)
        position = torch.arange(token_ids.shape[1], device=token_ids.device)
        if visible is None:
            visible = position <= token_ids.argmax(-1)[:, None]
        x, end = self.towers.text(token_ids, experts, route, visible)
        is_word = official_words(token_ids)
        order = torch.where(is_word, position, token_ids.shape[1]).argsort(dim=1, stable=True)
        lengths = is_word.sum(1)
        words = x.gather(1, order[..., None].expand_as(x))[:, : max(1, token_ids.shape[1] - 2)]
        return TextFeatures(words, lengths, x[torch.arange(len(x), device=x.device), end])

    def state(self) -> dict[str, Tensor]:
        """The method's state; ``clip_scope=all`` adds the gradients that are never cleared."""
        if self.options.clip_scope == "optimised":
            return super().state()
        gradients = {n: p.grad for n, p in self.named_parameters() if p.grad is not None}
        return {**super().state(), **{f"gradient.{name}": g for name, g in gradients.items()}}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Restore what ``state`` gave, those gradients included."""
        plain = {n: value for n, value in state.items() if not n.startswith("gradient.")}
        for p in self.parameters():
            p.grad = None
        super().load_state(plain)
        if self.options.clip_scope == "all":
            for name, p in self.named_parameters():
                gradient = state.get(f"gradient.{name}")
                p.grad = None if gradient is None else gradient.to(p.device)


def official_words(token_ids: Tensor) -> Tensor:
    """Which token ids [B, L] are words: none equal to its first or to 0, nor the first end."""
    is_end = torch.zeros_like(token_ids, dtype=torch.bool)
    is_end.scatter_(1, token_ids.argmax(-1, keepdim=True), True)
    return (token_ids != token_ids[:, :1]) & (token_ids != 0) & ~is_end


def official_padding(token_ids: Tensor) -> Tensor:
    """Rows [B, L] padded with their end id, as the official code's tokenizer pads them."""
    position = torch.arange(token_ids.shape[1], device=token_ids.device)
    after = position > token_ids.argmax(-1)[:, None]
    return torch.where(after, token_ids.amax(-1, keepdim=True), token_ids)
