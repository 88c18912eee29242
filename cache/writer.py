"""Writes a cache: tokens in batches of clips, a record of each batch, then all checksums."""

import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import StructAlignError
from ..core.files import link_or_copy, write_text
from ..core.hashing import sha256_of
from ..core.permissions import make_writable
from .catalog import Catalog
from .catalog_file import read_catalog, write_catalog
from .checksums import checksums_text
from .layout import (
    BATCH_RECORDS,
    CHECKED,
    COMPLETE,
    PREPARED,
    PUBLISHED,
    SOURCES,
    SPEC,
    TOKENS,
    TOKENS_INDEX,
    shard_name,
)
from .shards import ShardWriter
from .spec import CacheSpec
from .store import Local
from .times import ClipTimes, TimesTable
from .tokens import SHARD_CLIPS, ViewTable, create_tokens, open_tokens, write_token_checksums

if TYPE_CHECKING:
    from .reader import FeatureCache

LAYOUT = "shards, columns"  # the content of the file PREPARED; another layout has another


@dataclass(frozen=True)
class ClipOutcome:
    """How one clip ended: ``reason`` is None if its tokens were written, else a quarantine reason.

    ``video_ends`` is the length of its video in seconds if its own end lies beyond it, ``hdr`` is
    PQ, HLG or Dolby Vision if it has a high dynamic range, ``times`` says when frames are shown.
    """

    clip: str
    reason: str | None = None
    message: str = ""
    video_ends: float | None = None
    hdr: str | None = None
    times: ClipTimes | None = None

    @classmethod
    def of_json(cls, row: dict[str, Any]) -> "ClipOutcome":
        """The outcome that ``asdict`` made a row of JSON from."""
        times = row.get("times")
        return cls(**{**row, "times": times and ClipTimes(tuple(times[0]), *times[1:])})

    @classmethod
    def published(cls, cache: "FeatureCache", clip: str) -> "ClipOutcome":
        """The outcome that ``cache`` was published with."""
        reason, message = cache.quarantine.get(clip, (None, ""))
        return cls(clip, reason, message, cache.video_ends.get(clip), times=cache.times(clip))


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

        ``sources`` maps source files to hashes; ``token_shape`` is (tokens of a frame, width);
        ``save_frozen`` writes the frozen weights after the cut into a folder.
        """
        prepared = self.path / PREPARED
        if prepared.is_file() and prepared.read_text() == LAYOUT:
            return
        self.make_empty()
        (self.path / BATCH_RECORDS).mkdir()
        for name, body in ((SPEC, spec.as_json()), (SOURCES, sources)):
            text = json.dumps(body, indent=1, sort_keys=True, ensure_ascii=name == SPEC)
            write_text(self.path / name, text + "\n")
        write_catalog(self.path, catalog)
        save_frozen(self.path)
        create_tokens(self.path, catalog, spec, token_shape)
        write_text(prepared, LAYOUT)

    def make_empty(self) -> None:
        """Make the folder, or remove all that is in it."""
        self.discard()
        self.path.mkdir(parents=True)

    def discard(self) -> None:
        """Remove the folder, even a read-only one: publishing may have been interrupted."""
        if self.path.is_dir():
            make_writable(self.path)
        shutil.rmtree(self.path, ignore_errors=True)

    def shard(self, batch: int, table: ViewTable) -> ShardWriter:
        """Writes the shard of a batch: its clip ``n`` has the slots from ``n * table.most`` on."""
        return ShardWriter(self.path / TOKENS / shard_name(batch), SHARD_CLIPS * table.most)

    def batch_record(self, batch: int) -> list[ClipOutcome] | None:
        """The outcomes of a finished batch, None for an unfinished one."""
        try:
            rows = json.loads(self._record_file(batch).read_text())
        except FileNotFoundError:
            return None
        return [ClipOutcome.of_json(row) for row in rows]

    def write_batch_record(self, batch: int, outcomes: list[ClipOutcome]) -> None:
        """Declare a batch finished; its tokens must have been written."""
        write_text(self._record_file(batch), json.dumps([asdict(outcome) for outcome in outcomes]))

    def take_tokens(self, published: "FeatureCache") -> None:
        """Begin with a published cache's shards, as links: shards are only ever replaced."""
        for file in (published.path / TOKENS).glob("c.*"):
            with suppress(FileExistsError):
                link_or_copy(file, self.path / TOKENS / file.name)

    def finalize(
        self, spec: CacheSpec, outcomes: list[ClipOutcome], provenance: dict[str, Any]
    ) -> None:
        """Read every chunk back (StructAlignError), remove foreign files, write all checksums."""
        reader = open_tokens(Local(self.path), read_catalog(self.path), spec.views)
        clips = [outcome.clip for outcome in outcomes if outcome.reason is None]
        views = [(clip, view) for clip in clips for view in range(reader.table.views(clip))]
        lost = {view[0] for view in views if reader.state(view) != "good"}
        if lost:
            for record in (self.path / BATCH_RECORDS).glob("[0-9]*.json"):
                rows = json.loads(record.read_text())
                write_text(record, json.dumps([row for row in rows if row["clip"] not in lost]))
            raise StructAlignError(
                f"{self.path}: the tokens of {len(lost)} clips did not reach the disk; "
                "run extract again, only they are redone"
            )
        own = {Path(TOKENS_INDEX).name, *reader.files(views)}
        for file in (self.path / TOKENS).iterdir():
            if file.name not in own:
                file.unlink()
        write_token_checksums(self.path, reader.checksums(views))
        if times := {outcome.clip: outcome.times for outcome in outcomes if outcome.times}:
            TimesTable.of(times, reader.table.catalog, spec.frames).write(self.path)
        body = {
            "fingerprint": spec.fingerprint(),
            "quarantine": {
                o.clip: {"reason": o.reason, "message": o.message} for o in outcomes if o.reason
            },
            "video_ends": {o.clip: o.video_ends for o in outcomes if o.video_ends is not None},
            "provenance": provenance,
            "files": {n: sha256_of(self.path / n) for n in CHECKED if (self.path / n).is_file()},
        }
        write_text(self.path / COMPLETE, checksums_text(body))

    @property
    def is_finalized(self) -> bool:
        """Whether it is complete and only has to be published."""
        return (self.path / COMPLETE).is_file()

    def strip(self) -> None:
        """Remove what only the writing needed."""
        for path in self.path.iterdir():
            if path.name not in PUBLISHED:
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _record_file(self, batch: int) -> Path:
        return self.path / BATCH_RECORDS / f"{batch:06d}.json"
