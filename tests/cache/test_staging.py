"""Nothing is sealed that does not read back; what was lost is redone, and nothing else."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cache import CacheRoot, FeatureCache, StructAlignError
from cache.sharing import make_writable
from cache.staging import ClipOutcome, StagedCache
from tests.conftest import Cli


@pytest.fixture
def staged(shared: Cli, tmp_path: Path) -> tuple[StagedCache, FeatureCache]:
    """A cache as it is before it is sealed, with two receipts."""
    source = CacheRoot(shared.home / "cache").find(None)
    folder = Path(shutil.copytree(source.path, tmp_path / "staged"))
    make_writable(folder)
    (folder / "complete.json").unlink()
    (folder / "receipts").mkdir()
    staged, clips = StagedCache(folder), list(source.catalog)
    for unit, part in enumerate((clips[:16], clips[16:])):
        staged.write_receipt(unit, [ClipOutcome(clip.id) for clip in part])
    return staged, source


def outcomes(cache: FeatureCache) -> list[ClipOutcome]:
    return [ClipOutcome(clip.id) for clip in cache.catalog]


@pytest.mark.parametrize("how", ["gone", "short", "flipped"])
def test_a_chunk_that_did_not_reach_the_disk(staged: tuple[StagedCache, FeatureCache], how: str) -> None:
    staging, cache = staged
    clip = cache.catalog.clips[20].id
    chunk = staging.path / "tokens" / f"c.{cache.rows.row(clip, 0)}.0.0.0"
    body = bytearray(chunk.read_bytes())
    body[50] ^= 1
    chunk.unlink() if how == "gone" else chunk.write_bytes(body[:-1] if how == "short" else body)
    with pytest.raises(StructAlignError, match="tokens of 1 clips did not reach the disk; run extract again, only they are redone"):
        staging.seal(cache.spec, outcomes(cache), {})
    assert not staging.sealed
    left = [outcome.clip for unit in (0, 1) for outcome in staging.receipt(unit) or []]
    assert sorted(left) == sorted(other.id for other in cache.catalog if other.id != clip)


def test_what_is_left_of_the_making_is_not_published(staged: tuple[StagedCache, FeatureCache], tmp_path: Path) -> None:
    staging, cache = staged
    (staging.path / "tokens" / "c.0.0.0.0.abc.partial").write_bytes(b"half")
    (staging.path / ".spec.json.12.tmp").write_text("half")
    staging.seal(cache.spec, outcomes(cache), {})
    published = CacheRoot(tmp_path / "root").publish(staging, cache.fingerprint)
    again = FeatureCache.open(published)
    assert {path.name for path in published.iterdir()} == {path.name for path in cache.path.iterdir()}
    assert len(list((published / "tokens").iterdir())) == len(again.rows) + 1


READ_ONLY = """
import os, tempfile
from pathlib import Path
from cache.sharing import make_read_only
from cache.staging import StagedCache
if os.geteuid() == 0:
    os.setuid(65534)  # modes bind everybody but root
with tempfile.TemporaryDirectory() as folder:
    staged = StagedCache(Path(folder) / "staged")
    staged.make_empty()
    (staged.path / "tokens").mkdir()
    (staged.path / "tokens" / "c.0.0.0.0").write_bytes(b"x")
    make_read_only(staged.path)
    staged.make_empty()
    print(list(staged.path.iterdir()))
"""


def test_what_publishing_had_made_read_only_is_emptied_too() -> None:
    done = subprocess.run([sys.executable, "-c", READ_ONLY], capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout == "[]\n", done.stderr
