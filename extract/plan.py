"""The plan of an extraction: the specification of its cache, from hashes instead of decoding."""

from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from ..backbones.identity import IDENTITY_VERSION, BackboneIdentity, check_cut, split_pretrained
from ..cache.reader import FeatureCache
from ..cache.root import CacheRoot
from ..cache.spec import SAMPLINGS, SCHEMA, CacheSpec, hash_sources
from ..core.errors import StructAlignError
from ..core.hashing import sha256_of
from .datasets.dataset import Dataset
from .settings import ExtractSettings
from .video.decoder_version import decoder_version

if TYPE_CHECKING:
    from ..backbones.backbone import Backbone


@dataclass(frozen=True)
class Plan:
    """The cache's specification, the sha256 of every source file, the backbone if it is loaded."""

    spec: CacheSpec
    sources: dict[str, str]
    backbone: "Backbone | None"


def make_plan(dataset: Dataset, settings: ExtractSettings, root: CacheRoot) -> Plan:
    """Hash the files and assemble the specification.

    Raises StructAlignError: an unknown backbone or weights, or a cut that leaves no block to adapt.
    """
    backbone, loaded = _identity(settings, root)
    catalog, augmentation = dataset.catalog, settings.augmentation
    hashes = root.file_hashes(dataset.root).of(clip.path for clip in catalog)
    spec = CacheSpec(
        dataset=catalog.dataset,
        sources=hash_sources((c.id, hashes[c.path], c.start, c.end) for c in catalog),
        catalog=catalog.hash(),
        backbone=backbone.name,
        weights=backbone.weights,
        cut=_cut(backbone, settings),
        grid=settings.grid,
        frames=settings.frames,
        views=augmentation.views,
        view_seed=augmentation.seed,
        view_scale=augmentation.scale,
        view_flip=augmentation.flip,
        preprocessing=backbone.preprocessing.as_json(),
        decoder=decoder_version(),
        sampling=SAMPLINGS[settings.sampling],
    )
    return Plan(spec, hashes, loaded)


def chosen_backbone(settings: ExtractSettings) -> "Backbone":
    """The backbone of an extraction, with its tokenizer's file.

    Raises StructAlignError: its weights or its tokenizer cannot be had, or do not fit.
    """
    # slow: torch, open_clip, the weights
    from ..backbones.backbone import is_accepted, load_backbone
    from ..backbones.tokenizer_file import hub_tokenizer

    tokenizer, grid = settings.tokenizer, settings.grid
    # A name that is refused is refused before anything is downloaded.
    if not tokenizer and is_accepted(settings.backbone, None if grid is None else "all"):
        tokenizer = hub_tokenizer(settings.backbone)
    backbone = load_backbone(settings.backbone, settings.pretrained, grid=grid, tokenizer=tokenizer)
    backbone.tokenizer()  # refuses one that does not fit before any video is read
    return backbone


def explain_miss(plan: Plan, root: CacheRoot, dataset_root: Path) -> str | None:
    """Say why a published cache that differs little does not fit; None where there is none.

    It differs in its files or captions alone, or in sampling or the decoder version alone.
    """
    wanted = asdict(plan.spec)
    for folder in root.published():
        try:
            cache = FeatureCache.open(folder)
        except StructAlignError:
            continue
        differs = {name for name, value in asdict(cache.spec).items() if wanted[name] != value}
        if differs and differs <= {"decoder", "sampling"}:
            there, here = (
                ", ".join(str(getattr(spec, name)) for name in sorted(differs))
                for spec in (cache.spec, plan.spec)
            )
            return (
                f"cache {cache.fingerprint[:12]} holds the same clips, decoded by '{there}' "
                f"instead of '{here}'; it still opens, and this extraction makes another one"
            )
        same_root = cache.video_root == dataset_root.resolve()
        if not differs or differs - {"sources", "catalog"} or not same_root:
            continue
        before, now = cache.sources, plan.sources
        kinds = {
            "changed": [path for path in now if path in before and before[path] != now[path]],
            "more": [path for path in now if path not in before],
            "fewer": [path for path in before if path not in now],
        }
        parts = [_listing(kind, sorted(paths)) for kind, paths in kinds.items() if paths]
        parts += ["other captions, categories or splits"] if "catalog" in differs else []
        return (
            f"since cache {cache.fingerprint[:12]} was made: "
            f"{'; '.join(parts or ['other times of clips'])}; this extraction makes another one"
        )
    return None


def _listing(kind: str, paths: list[str]) -> str:
    count = f"{len(paths)} file{'s' * (len(paths) > 1)} {kind}"
    return f"{count} ({', '.join(paths[:5])}{', ...' * (len(paths) > 5)})"


def _identity(
    settings: ExtractSettings, root: CacheRoot
) -> "tuple[BackboneIdentity, Backbone | None]":
    identities = root.backbone_identities()
    tag, file = split_pretrained(settings.pretrained)
    weights = f"{tag}={file}" if file else tag
    versions = (f"{package} {version(package)}" for package in ("torch", "open_clip_torch"))
    # The schema says how weights are hashed, IDENTITY_VERSION what an identity is taken from: what
    # an older version remembered is another identity.
    version_of_rules = f"schema {SCHEMA}.{IDENTITY_VERSION}"
    parts = [settings.backbone, weights, version_of_rules, *versions]
    if settings.tokenizer:
        parts.append(f"tokenizer {sha256_of(settings.tokenizer)}")
    key = " ".join(parts)
    if identity := identities.find(key):
        return identity, None
    backbone = chosen_backbone(settings)
    identities.remember(key, backbone.identity, backbone.file)
    return backbone.identity, backbone


def _cut(backbone: BackboneIdentity, settings: ExtractSettings) -> int:
    blocks = backbone.blocks
    if not blocks and settings.grid is not None:
        return 0  # frozen whole, and no block to cut before
    adapted = settings.adapted_blocks or max(1, round(blocks * 10 / 12))
    if blocks and adapted > blocks:
        raise StructAlignError(
            f"--adapted-blocks {adapted}: '{backbone.name}' has {blocks} vision blocks"
        )
    cut = blocks - adapted if settings.cut is None else settings.cut
    check_cut(backbone.name, blocks, cut)
    return cut
