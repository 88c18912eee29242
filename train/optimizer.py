"""AdamW as the released code's library has it, leaving alone the experts that nobody chose."""

import math
from typing import cast

import torch
from torch import Tensor, nn

from train.adapters import TextExperts
from train.model import Model
from train.settings import Settings

BETAS = (0.9, 0.999)
EPS = 1e-6


class ExpertAdamW:
    """AdamW: p -= lr sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt v + eps), then p -= lr wd p on the result.

    A parameter without gradient is skipped. ``rowwise`` parameters are stacks over their first two dimensions (slot, expert):
    a row whose gradient is all zero was not chosen by any caption, and is skipped too: no decay, no moments, no step counted.
    """

    def __init__(self, groups: list[tuple[list[nn.Parameter], float]], weight_decay: float, rowwise: set[nn.Parameter]) -> None:
        self.groups = groups
        self.weight_decay = weight_decay
        self.rowwise = rowwise
        self.state: dict[Tensor, tuple[Tensor, Tensor, Tensor]] = {}

    def parameters(self) -> list[nn.Parameter]:
        """All that is optimised."""
        return [p for group, _ in self.groups for p in group]

    @torch.no_grad()
    def step(self, factor: float) -> None:
        """One update with every group's learning rate times ``factor``. Nothing in it waits for a GPU."""
        for group, lr in self.groups:
            due: list[Tensor] = [p for p in group if p.grad is not None]
            self._update_whole([p for p in due if p not in self.rowwise], lr * factor)
            self._update_chosen([p for p in due if p in self.rowwise], lr * factor)

    def zero_grad(self) -> None:
        """Drop the gradients of what is optimised."""
        for p in self.parameters():
            p.grad = None

    def state_tensors(self) -> dict[str, Tensor]:
        """Moments and step counts by the parameter's place among ``parameters``, for a checkpoint."""
        places: dict[Tensor, int] = {p: index for index, p in enumerate(self.parameters())}
        return {f"{places[p]}.{name}": value for p, state in self.state.items() for name, value in zip("mvt", state, strict=True)}

    def load_state_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Take up what ``state_tensors`` gave."""
        for index, p in enumerate(self.parameters()):
            if f"{index}.m" in tensors:
                m, v = (tensors[f"{index}.{name}"].to(p.device) for name in "mv")
                self.state[p] = (m, v, tensors[f"{index}.t"].to(self._counted_on(p)))

    def _update_whole(self, parameters: list[Tensor], lr: float) -> None:
        if not parameters:
            return
        gradients, means, squares, counts = self._states(parameters)
        torch._foreach_add_(counts, 1)
        sizes = [-lr * math.sqrt(1 - BETAS[1] ** count) / (1 - BETAS[0] ** count) for count in map(float, counts)]
        torch._foreach_lerp_(means, gradients, 1 - BETAS[0])
        torch._foreach_mul_(squares, BETAS[1])
        torch._foreach_addcmul_(squares, gradients, gradients, value=1 - BETAS[1])
        roots = torch._foreach_sqrt(squares)
        torch._foreach_add_(roots, EPS)
        torch._foreach_addcdiv_(parameters, means, roots, sizes)
        torch._foreach_mul_(parameters, 1 - lr * self.weight_decay)

    def _update_chosen(self, parameters: list[Tensor], lr: float) -> None:
        """All stacks of one shape: rows that were not chosen are multiplied by 1 and moved by 0."""
        if not parameters:
            return
        gradients, means, squares, counts = self._states(parameters)
        chosen = torch.stack([g.flatten(2).ne(0).any(-1) for g in gradients])
        torch._foreach_add_(counts, chosen.unbind())
        steps = torch.stack(counts)

        def rows(if_chosen: Tensor | float, otherwise: float) -> tuple[Tensor, ...]:
            values = torch.where(chosen, if_chosen, otherwise).to(parameters[0].dtype)
            return values.view(*values.shape, *[1] * (parameters[0].ndim - 2)).unbind()

        torch._foreach_mul_(means, rows(BETAS[0], 1))
        torch._foreach_add_(means, torch._foreach_mul(gradients, 1 - BETAS[0]))
        torch._foreach_mul_(squares, rows(BETAS[1], 1))
        scaled = torch._foreach_mul(gradients, 1 - BETAS[1])
        torch._foreach_mul_(scaled, gradients)
        torch._foreach_add_(squares, scaled)
        roots = torch._foreach_sqrt(squares)
        torch._foreach_add_(roots, EPS)
        moves = torch._foreach_mul(means, rows(lr * torch.sqrt(1 - BETAS[1] ** steps) / (1 - BETAS[0] ** steps), 0))
        torch._foreach_div_(moves, roots)
        torch._foreach_sub_(parameters, moves)
        torch._foreach_mul_(parameters, rows(1 - lr * self.weight_decay, 1))

    def _states(self, parameters: list[Tensor]) -> tuple[list[Tensor], list[Tensor], list[Tensor], list[Tensor]]:
        """Gradients, both moments and step counts, made where they are not there yet."""
        for p in parameters:
            if p not in self.state:
                rows = p.shape[:2] if p in self.rowwise else torch.Size(())
                self.state[p] = (torch.zeros_like(p), torch.zeros_like(p), torch.zeros(rows, device=self._counted_on(p), dtype=torch.float64))
        means, squares, counts = (list(column) for column in zip(*(self.state[p] for p in parameters), strict=True))
        return [cast(Tensor, p.grad) for p in parameters], means, squares, counts

    def _counted_on(self, p: Tensor) -> torch.device:
        """Where the steps of a parameter are counted: on the CPU, where reading them waits for nothing, unless each row has its own count."""
        return p.device if p in self.rowwise else torch.device("cpu")


def parameter_groups(model: Model, settings: Settings, task: int) -> list[tuple[list[nn.Parameter], float]]:
    """(parameters, learning rate): LoRA experts, frame fusion, and the rest (gates, task prototypes, trained ETF projections)."""
    first = settings.lr_first if task == 1 else None
    fusion = list(model.video.adapters.values())
    text = list(model.text.experts.parameters())
    vision = [p for adapter in fusion for name, p in adapter.named_parameters() if name != "alpha"]
    other = [p for adapter in fusion for name, p in adapter.named_parameters() if name == "alpha"] + list(model.text.prototypes)
    if settings.etf_projections == "trained":
        other += [model.etf_text, model.etf_video]
    rates = (settings.lr_text, settings.lr_vision, settings.lr_other)
    return [(group, rate if first is None else first) for group, rate in zip((text, vision, other), rates, strict=True)]


def build_optimizer(model: Model, settings: Settings, task: int) -> ExpertAdamW:
    """A new optimizer for a task; the experts' up-projections are skipped row by row."""
    rowwise = {cast(TextExperts, experts).up for experts in model.text.experts}
    return ExpertAdamW(parameter_groups(model, settings, task), settings.weight_decay, rowwise)


def clip_gradients(parameters: list[nn.Parameter], limit: float) -> Tensor:
    """Scale gradients so that their joint norm is at most ``limit``; returns the norm before."""
    return nn.utils.clip_grad_norm_([p for p in parameters if p.grad is not None], limit)
