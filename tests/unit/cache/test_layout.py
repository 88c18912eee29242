"""The names of a cache's files stand in ``layout`` and ``saved_names``, and nowhere else."""

import ast
from pathlib import Path

import pytest
import structalign
from helpers.cli import Cli
from structalign.backbones import saved_names
from structalign.cache import CacheRoot, layout
from structalign.cache.store import Local

ROOT = Path(structalign.__file__).parent
FILES = sorted(
    path
    for room in ("cache", "backbones")
    for path in (ROOT / room).rglob("*.py")
    if path.stem not in ("layout", "saved_names")
)
NAMES = {
    *layout.PUBLISHED, *layout.CHECKED, layout.CATALOG_JSON, layout.BATCH_RECORDS,
    layout.PREPARED, saved_names.STEM_FILE,
} - {layout.TOKENS}  # fmt: skip


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_other_file_spells_one(path: Path) -> None:
    nodes = ast.walk(ast.parse(path.read_text()))
    texts = {n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)}
    assert not {text for text in texts if text in NAMES}


def test_a_published_cache_has_these_files_and_shards(shared: Cli) -> None:
    names = Local(CacheRoot(shared.home / "cache").published()[0]).names()
    shards = {f"{layout.TOKENS}/{layout.shard_name(number)}" for number in range(2)}
    published = {*layout.CHECKED, layout.COMPLETE, *shards} - {saved_names.TOKENIZER_FILE}
    assert set(names) == published  # the demo's tokenizer is merges
