"""A cache being written: batches of clips with a record each, then one manifest of checksums."""

import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .catalog import Catalog
from .checksums import MANIFEST, manifest_text
from .runtime.errors import StructAlignError
from .shared.files import link_or_copy, sha256_of, write_text
from .shared.permissions import make_writable
from .spec import CacheSpec
from .tokens import RowTable, TokenArray, create_tokens, open_tokens, row_state

if TYPE_CHECKING:
    from .reader import FeatureCache

CACHE_FILES = {
    MANIFEST, "spec.json", "catalog.json", "sources.json", "backbone.json",
    "frozen.safetensors", "weights.json", "bpe.txt.gz", "tokens",
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
        if (self.path / "prepared").is_file():
            return
        self._record_file(0).parent.mkdir(parents=True, exist_ok=True)
        for name, body in (("spec", asdict(spec)), ("sources", sources)):
            text = json.dumps(body, indent=1, sort_keys=True, ensure_ascii=name == "spec")
            write_text(self.path / f"{name}.json", text + "\n")
        catalog.save(self.path / "catalog.json")
        save_frozen(self.path)
        create_tokens(self.path, catalog, spec, token_shape)
        write_text(self.path / "prepared", "")

    def make_empty(self) -> None:
        """An empty folder, whatever was there."""
        self.discard()
        self.path.mkdir(parents=True)

    def discard(self) -> None:
        """Remove the folder, read-only or not: publishing may have been interrupted."""
        if self.path.is_dir():
            make_writable(self.path)
        shutil.rmtree(self.path, ignore_errors=True)

    def open_tokens(self) -> TokenArray:
        """The token array, for writing."""
        return open_tokens(self.path, writable=True)

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

    def link_tokens(self, published: Path) -> None:
        """Share a published cache's token files; they are only ever replaced, never written to."""
        for chunk in (published / "tokens").glob("c.*"):
            target = self.path / "tokens" / chunk.name
            with suppress(FileExistsError):
                link_or_copy(chunk, target)

    def finalize(
        self, spec: CacheSpec, outcomes: list[ClipOutcome], provenance: dict[str, Any]
    ) -> None:
        """Read every chunk back, remove foreign files, and write the manifest of checksums.

        Raises:
            StructAlignError: a chunk does not read back.
        """
        catalog = Catalog.load(self.path / "catalog.json")
        rows, array = RowTable(catalog, spec.views), self.open_tokens()
        wanted = [
            (one.clip, rows.row(one.clip, view))
            for one in outcomes
            if one.reason is None
            for view in range(rows.views(one.clip))
        ]
        lost = {clip for clip, row in wanted if row_state(self.path, array, row) != "good"}
        if lost:
            self._forget(lost)
            raise StructAlignError(
                f"{self.path}: the tokens of {len(lost)} clips did not reach the disk; "
                "run extract again, only they are redone"
            )
        chunks = {f"c.{row}.0.0.0" for _, row in wanted}
        for file in (self.path / "tokens").iterdir():
            if file.name not in chunks and file.name != "zarr.json":
                file.unlink()
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
