"""What a family of vision towers provides, and how the family of a configuration is found.

A family is a file in ``families/`` that sets ``FAMILY``. It must not import open_clip or timm at
its top: a worker needs only the stem, and open_clip takes as long to import as torch.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from ..core.errors import StructAlignError
from .identity import Preprocessing
from .text import text_refusal

if TYPE_CHECKING:
    import open_clip

Config = Mapping[str, Any]  # open_clip's configuration of a whole model
Weights = Mapping[str, Tensor]


class Stem(nn.Module):
    """A vision tower before the cut, frozen: frames [B, 3, S, S] to tokens [B, P, C].

    ``preprocessing`` says what the frames have been through, ``cut`` how many blocks there are.
    """

    def __init__(self, preprocessing: Preprocessing, cut: int) -> None:
        super().__init__()
        self.preprocessing, self.cut = preprocessing, cut

    def take(self, weights: Weights) -> None:
        """Take the weights of its own names, and freeze. Raises StructAlignError if one lacks."""
        wanted = self.state_dict().keys()
        if missing := sorted(wanted - weights.keys()):
            raise StructAlignError(f"the weights of the stem lack '{missing[0]}'")
        self.load_state_dict({name: weights[name] for name in wanted}, assign=True)
        self.requires_grad_(False).eval()


class Tail(nn.Module, ABC):
    """A vision tower after the cut: tokens [B, P, C] to features [B, D], not normalised.

    Its blocks are those of the library, computed in four parts: what attention reads, attention,
    and the two sums. Frame fusion changes what attention gives. Attributes:

        blocks: the blocks after the cut; none where a tower is frozen whole.
        heads: attention heads of a block.
        prefix: how many tokens come before the patches (class token, registers).
        queries: how many of the last block's first tokens ``pool`` reads; None for all.
    """

    heads: int = 1
    prefix: int = 0
    queries: int | None = None

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList()

    def attention_input(self, block: Any, x: Tensor) -> Tensor:
        """What a block's attention reads of its input [B, P, C]: the same shape."""
        raise NotImplementedError

    def attention(self, block: Any, y: Tensor, queries: int) -> Tensor:
        """Self attention of ``attention_input`` [B, P, C], for its first tokens [B, queries, C]."""
        raise NotImplementedError

    def add_attention(self, block: Any, x: Tensor, attention: Tensor) -> Tensor:
        """The sum of a block's input and its attention, both [B, queries, C]."""
        raise NotImplementedError

    def add_mlp(self, block: Any, x: Tensor) -> Tensor:
        """The sum of ``add_attention`` and the block's MLP of it: [B, queries, C]."""
        raise NotImplementedError

    @abstractmethod
    def pool(self, x: Tensor) -> Tensor:
        """The last block's tokens [B, P or queries, C] to features in the joint space [B, D]."""

    def pool_patches(self, patches: Tensor) -> Tensor:
        """Some patches of the last block [B, n, C] pooled as if they were the picture: [B, D].

        Their mean stands for a class token.
        """
        raise NotImplementedError

    def needed(self, index: int, x: Tensor) -> int:
        """How many first tokens of its input [B, P, C] a block has to give, by its index here."""
        is_last = index == len(self.blocks) - 1
        return self.queries if self.queries and is_last else x.shape[1]

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens [B, P, C] to features [B, D], by the library's own blocks."""
        for block in self.blocks:
            tokens = self.block(block, tokens)
        return self.pool(tokens)

    def block(self, block: Any, x: Tensor) -> Tensor:
        """A block as the library computes it: [B, P, C] to [B, P, C]."""
        return block(x)


class Family(ABC):
    """One kind of vision tower. A configuration is open_clip's of a whole model."""

    @abstractmethod
    def is_of(self, config: Config) -> bool:
        """Whether the vision tower is of this kind, by the configuration alone."""

    @abstractmethod
    def refusal(self, config: Config) -> str:
        """Why a tower of this kind cannot be cut; empty if it can."""

    def whole_only(self, config: Config) -> str:
        """Why such a tower can only be frozen whole; empty if it can be cut between blocks."""
        return ""

    @abstractmethod
    def blocks(self, config: Config) -> int:
        """The number of vision blocks; a cut lies before it."""

    @abstractmethod
    def token_shape(self, config: Config) -> tuple[int, int]:
        """(tokens of a frame, width), the same at every cut."""

    @abstractmethod
    def stem(
        self, config: Config, preprocessing: Preprocessing, cut: int, weights: Weights
    ) -> Stem:
        """The part before the cut. Raises StructAlignError if a weight is missing.

        ``weights`` have open_clip's names below ``visual.``; those after the cut are not used.
        """

    @abstractmethod
    def tail(self, model: "open_clip.CLIP | open_clip.CustomTextCLIP", cut: int) -> Tail:
        """The part after the cut; shares its modules with ``model``."""

    @abstractmethod
    def is_in_stem(self, weight: str, cut: int) -> bool:
        """Whether a weight, by open_clip's name, belongs to the stem."""


class WholeFamily(Family):
    """A kind of tower that can only be frozen whole: there is no cut between its blocks."""

    @abstractmethod
    def whole_only(self, config: Config) -> str:
        """Why."""

    def blocks(self, config: Config) -> int:
        """None that a cut could lie between."""
        return 0

    def token_shape(self, config: Config) -> tuple[int, int]:
        """A frame's embedding."""
        return 1, int(config["embed_dim"])

    def is_in_stem(self, weight: str, cut: int) -> bool:
        """Every weight of the vision tower."""
        return weight.startswith("visual.")


@cache
def families() -> dict[str, Family]:
    """Every family by the name of its file."""
    files = sorted((Path(__file__).parent / "families").glob("[!_]*.py"))
    package = __package__
    return {f.stem: import_module(f".families.{f.stem}", package).FAMILY for f in files}


def family_of(name: str, config: Config, whole: bool = False) -> Family:
    """The family of a backbone, cut between blocks or frozen as a ``whole``.

    Raises StructAlignError with the reason if it cannot be.
    """
    family = next(family for family in families().values() if family.is_of(config))
    reason = text_refusal(config) or family.refusal(config)
    if not reason and not whole and (reason := family.whole_only(config)):
        reason += "; freeze it with --cut all"
    if not reason:
        return family
    verb = "frozen" if whole else "cut"
    raise StructAlignError(
        f"backbone '{name}' cannot be {verb}: {reason}; or use another such as "
        "ViT-B-32-quickgelu or PE-Core-B-16"
    )
