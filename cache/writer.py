"""A cache being written: batches of clips with a record each, then one manifest of checksums."""

import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import StructAlignError
from ..core.files import link_or_copy, sha256_of, write_text
from ..core.permissions import make_writable
from .catalog import Catalog
from .catalog_file import ARROW, JSON, read_catalog, write_catalog
from .checksums import MANIFEST, manifest_text
from .shards import ShardWriter
from .spec import CacheSpec
from .token_checksums import FILE as CHECKSUMS
from .token_checksums import write_checksums
from .tokens import SHARD_CLIPS, ShardReader, ViewTable, create_tokens, open_zarr, shard_writer

if TYPE_CHECKING:
    from .reader import FeatureCache

LAYOUT = "shards, columns"  # of an unfinished folder
CACHE_FILES = {  # of this version and of older ones
    MANIFEST, "spec.json", ARROW, JSON, "sources.json", "backbone.json",
    "frozen.safetensors", "weights.json", "bpe.txt.gz", "tokens", CHECKSUMS,
}  # fmt: skip


@dataclass(frozen=True)
class ClipOutcome:
    """How one clip ended.

    ``reason`` is None when its tokens were written, else the quarantine's. ``video_ends``: the
    length of its video in seconds, where the clip's own end lies beyond it.
    """

    clip: str
    reason: str | None = None
    message: str = ""
    video_ends: float | None = None

    @classmethod
    def published(cls, cache: "FeatureCache", clip: str) -> "ClipOutcome":
        """As it ended when ``cache`` was made."""
        reason, message = cache.quarantine.get(clip, (None, ""))
        return cls(clip, reason, message, cache.video_ends.get(clip))


class CacheWriter:
    """The folder of an unfinished cache. Several processes may write different batches to it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def prepare(
        self,
        spec: CacheSpec,
        catalog: Catalog,
        sources: dict[str, str],
        token_shape: tuple[int, int],
        save_frozen: Callable[[Path], None],
    ) -> None:
        """Lay out the folder; what an interrupted extraction left is kept.

        Args:
            sources: hash of every source file by its path.
            token_shape: (1 + patches, width).
            save_frozen: writes the frozen weights after the cut into a folder.
        """
        prepared = self.path / "prepared"
        if prepared.is_file() and prepared.read_text() == LAYOUT:
            return
        if prepared.is_file():  # by a version that laid it out otherwise
            self.make_empty()
        self._record_file(0).parent.mkdir(parents=True, exist_ok=True)
        for name, body in (("spec", asdict(spec)), ("sources", sources)):
            text = json.dumps(body, indent=1, sort_keys=True, ensure_ascii=name == "spec")
            write_text(self.path / f"{name}.json", text + "\n")
        write_catalog(self.path, catalog)
        save_frozen(self.path)
        create_tokens(self.path, catalog, spec, token_shape)
        write_text(prepared, LAYOUT)

    def make_empty(self) -> None:
        """An empty folder, whatever was there."""
        self.discard()
        self.path.mkdir(parents=True)

    def discard(self) -> None:
        """Remove the folder, read-only or not: publishing may have been interrupted."""
        if self.path.is_dir():
            make_writable(self.path)
        shutil.rmtree(self.path, ignore_errors=True)

    def shard(self, batch: int, table: ViewTable) -> ShardWriter:
        """The shard of a batch's clips, for writing."""
        return shard_writer(self.path, batch, table.most)

    def batch_record(self, batch: int) -> list[ClipOutcome] | None:
        """The outcomes of a finished batch, None while it is not finished."""
        try:
            rows = json.loads(self._record_file(batch).read_text())
        except FileNotFoundError:
            return None
        return [ClipOutcome(**row) for row in rows]

    def write_batch_record(self, batch: int, outcomes: list[ClipOutcome]) -> None:
        """Declare a batch finished; its tokens must have been written."""
        write_text(self._record_file(batch), json.dumps([asdict(one) for one in outcomes]))

    def take_tokens(self, published: "FeatureCache") -> None:
        """Begin with a published cache's tokens.

        Shards are links, since they are only ever replaced; an older version's files are copied.
        """
        if isinstance(published.reader, ShardReader):
            for file in (published.path / "tokens").glob("c.*"):
                with suppress(FileExistsError):
                    link_or_copy(file, self.path / "tokens" / file.name)
            return
        clips, table = list(published.catalog), published.views
        for first in range(0, len(clips), SHARD_CLIPS):
            with self.shard(first // SHARD_CLIPS, table) as shard:
                for place, clip in enumerate(clips[first : first + SHARD_CLIPS]):
                    if clip.id in published.quarantine:
                        continue
                    views = [(clip.id, view) for view in range(table.views(clip.id))]
                    shard.put(place * table.most, table.most, published.reader.read(views))

    def finalize(
        self, spec: CacheSpec, outcomes: list[ClipOutcome], provenance: dict[str, Any]
    ) -> None:
        """Read every chunk back, remove foreign files, and write the manifest of checksums.

        Raises:
            StructAlignError: a chunk does not read back.
        """
        catalog = read_catalog(self.path)
        reader = ShardReader(self.path, open_zarr(self.path), ViewTable(catalog, spec.views), None)
        wanted = [
            (one.clip, view)
            for one in outcomes
            if one.reason is None
            for view in range(reader.table.views(one.clip))
        ]
        lost = {view[0] for view in wanted if reader.state(view) != "good"}
        if lost:
            self._forget(lost)
            raise StructAlignError(
                f"{self.path}: the tokens of {len(lost)} clips did not reach the disk; "
                "run extract again, only they are redone"
            )
        chunks = reader.files(wanted)
        for file in (self.path / "tokens").iterdir():
            if file.name not in chunks and file.name != "zarr.json":
                file.unlink()
        write_checksums(self.path, reader.checksums(wanted))
        names = sorted({*CACHE_FILES, "tokens/zarr.json"} - {MANIFEST})
        body = {
            "fingerprint": spec.fingerprint(),
            "quarantine": {
                one.clip: {"reason": one.reason, "message": one.message}
                for one in outcomes
                if one.reason is not None
            },
            "video_ends": {
                one.clip: one.video_ends for one in outcomes if one.video_ends is not None
            },
            "provenance": provenance,
            "files": {n: sha256_of(self.path / n) for n in names if (self.path / n).is_file()},
        }
        write_text(self.path / MANIFEST, manifest_text(body))

    @property
    def is_finalized(self) -> bool:
        """Whether it is complete and only has to be published."""
        return (self.path / MANIFEST).is_file()

    def strip(self) -> None:
        """Remove what only the writing needed."""
        for path in self.path.iterdir():
            if path.name not in CACHE_FILES:
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _forget(self, clips: set[str]) -> None:
        for file in self._record_file(0).parent.glob("[0-9]*.json"):
            kept = [row for row in json.loads(file.read_text()) if row["clip"] not in clips]
            write_text(file, json.dumps(kept))

    def _record_file(self, batch: int) -> Path:
        return self.path / "receipts" / f"{batch:06d}.json"
