"""Search in large galleries: the index against the exact search.

python -m structalign.benchmarks.index --clips N [--json] [--folder DIR]

Synthetic clustered embeddings, 12 frames of 512 dimensions, 20 tasks with a path each, as float32
safetensors on disk (24 KB a clip), and queries of 10 words near a clip. Prints recall@10 against
the exact search, seconds of a query from its encoded words on (p50, p95), resident memory with and
without the mapped files, and the time to build the index and to append a task.
"""

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..core.tensors import map_tensor
from ..search.candidates import CHUNK, SAMPLE, Shortlist, StoredBlock
from ..train.gallery import Block
from ..train.model.similarity import global_similarity, word_frame_similarity
from ..train.seeds import generator

FRAMES, DIM, TASKS, WORDS, QUERIES, CLUSTERS = 12, 512, 20, 10, 100, 200
LOOKED_AT = 20  # queries that the exact search answers too


def write_block(file: Path, clips: int, task: int) -> None:
    """Frames of a task's clips, near the centres of clusters, as a run stores them."""
    rng = generator(0, "clips", task)
    centres = F.normalize(torch.randn(CLUSTERS, DIM, generator=generator(0, "centres")), dim=-1)
    size = clips * FRAMES * DIM * 4
    header = {"embeddings": {"dtype": "F32", "shape": [clips, FRAMES, DIM],
                             "data_offsets": [0, size]}}  # fmt: skip
    text = json.dumps(header).encode()
    with file.open("wb") as out:
        out.write(len(text).to_bytes(8, "little") + text)
        for begin in range(0, clips, CHUNK):
            count = min(CHUNK, clips - begin)
            chosen = torch.randint(CLUSTERS, (count,), generator=rng)
            own = torch.randn(count, 1, DIM, generator=rng) * DIM**-0.5
            noise = torch.randn(count, FRAMES, DIM, generator=rng) * DIM**-0.5
            frames = F.normalize(centres[chosen][:, None] + own + 0.5 * noise, dim=-1)
            out.write(frames.numpy().tobytes())


class Gallery:
    """Blocks on disk with their index, and the two searches over them."""

    def __init__(self, folder: Path, blocks: list[StoredBlock]) -> None:
        self.blocks = blocks
        self.shortlist = Shortlist.open(folder / "index", blocks)
        rows = [torch.randperm(len(b.block.clips), generator=generator(0, "sample"))[: -(-SAMPLE
                // len(blocks))].sort().values for b in blocks]  # fmt: skip
        self.sample = [b.block.rows(own) for b, own in zip(blocks, rows, strict=True)]

    def query(self, words: Tensor, text: Tensor) -> list[tuple[int, int]]:
        """(block, row) of the best ten, through the index. words [1, L, D], text [D]."""
        rows = self.shortlist.rows([text] * len(self.blocks), None)
        over = [similarities(frames, words, text) for frames in self.sample]
        found = [
            similarities(one.block.rows(own), words, text)
            for one, own in zip(self.blocks, rows, strict=True)
        ]
        for one in self.blocks:
            one.block.release()
        places = [(n, row) for n, own in enumerate(rows) for row in own.tolist()]
        return best(torch.cat(found, 1), torch.cat(over, 1), places)

    def exact(self, asked: list[tuple[Tensor, Tensor]]) -> list[list[tuple[int, int]]]:
        """The best ten of all clips for each query; all queries in one pass over the files."""
        words = torch.cat([own for own, _ in asked])
        texts = torch.stack([text for _, text in asked])
        lengths = torch.full((len(asked),), WORDS)
        found, places = [], []
        for n, one in enumerate(self.blocks):
            for chunk in one.block.chunks(CHUNK):
                both = word_frame_similarity(chunk, words, lengths), global_similarity(chunk, texts)
                found.append(torch.stack(both))
            places += [(n, row) for row in range(len(one.block.clips))]
        whole = torch.cat(found, 1)
        return [best(own, own, places) for own in whole.unbind(2)]


def similarities(frames: Tensor, words: Tensor, text: Tensor) -> Tensor:
    """Word-frame and global similarity [2, V]."""
    lengths = torch.tensor([words.shape[1]])
    both = (word_frame_similarity(frames, words, lengths), global_similarity(frames, text[None]))
    return torch.stack([one[:, 0] for one in both])


def best(found: Tensor, over: Tensor, places: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The ten of the highest sum of z-scores."""
    standard = (found - over.mean(1, keepdim=True)) / over.std(1, correction=0, keepdim=True)
    return [places[at] for at in standard.mean(0).topk(min(10, len(places))).indices.tolist()]


def queries(blocks: list[StoredBlock]) -> list[tuple[Tensor, Tensor]]:
    """Words [1, L, D] and text [D] near a frame and the whole of some clip."""
    rng, found = generator(0, "queries"), []
    for number in range(QUERIES):
        block = blocks[number % len(blocks)].block
        row = int(torch.randint(len(block.clips), (1,), generator=rng))
        frames = block.embeddings[row]
        noise = torch.randn(WORDS + 1, DIM, generator=rng) * DIM**-0.5
        chosen = torch.randint(FRAMES, (WORDS,), generator=rng)
        words = F.normalize(frames[chosen] + 1.2 * noise[:-1], dim=-1)
        found.append((words[None], F.normalize(frames.mean(0) + 0.8 * noise[-1], dim=-1)))
    return found


def memory() -> dict[str, float]:
    """Resident MB: all, without what is mapped from files, and the most there ever was."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    named = {"resident": "VmRSS", "own": "RssAnon", "peak": "VmHWM"}
    return {name: int(status[key].split()[0]) / 1024 for name, key in named.items()}


@torch.no_grad()
def measure(clips: int, folder: Path) -> dict[str, Any]:
    """Write the gallery, build, check, search."""
    blocks, each = [], clips // TASKS
    for task in range(1, TASKS + 1):
        file = folder / f"{task:02d}.safetensors"
        write_block(file, each, task)
        names = tuple(map(str, range(each)))
        block = Block(task, names, *map_tensor(file, "embeddings"))
        blocks.append(StoredBlock(block, file, f"{task:02d}-evaluated"))
    began = time.perf_counter()
    gallery = Gallery(folder, blocks[:-1])
    building = time.perf_counter() - began
    gallery.shortlist.save_check(folder / "index", blocks[:-1], 0.0)
    began = time.perf_counter()
    gallery = Gallery(folder, blocks)
    appending = time.perf_counter() - began
    asked = queries(blocks)
    wanted = gallery.exact(asked[:LOOKED_AT])
    recall = 0.0
    for _ in gallery.shortlist.settings():
        found = [gallery.query(*one) for one in asked[:LOOKED_AT]]
        hits = [len(set(a) & set(b)) / 10 for a, b in zip(found, wanted, strict=True)]
        recall = statistics.fmean(hits)
        if recall >= 0.99:
            break
    gallery.shortlist.save_check(folder / "index", blocks, recall)
    told = _in_a_fresh_process(folder, clips)
    return {
        "clips": clips, "recall@10": recall, "candidates": gallery.shortlist.candidates,
        "share of lists": gallery.shortlist.share,
        "build, s": building, "append a task, s": appending, **told,
    }  # fmt: skip


def _in_a_fresh_process(folder: Path, clips: int) -> dict[str, Any]:
    """Seconds of queries and memory of a process that only opens the index and searches."""
    import subprocess

    line = [sys.executable, "-m", "structalign.benchmarks.index", "--clips", str(clips),
            "--folder", str(folder), "--ask"]  # fmt: skip
    done = subprocess.run(line, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout))


@torch.no_grad()
def ask(clips: int, folder: Path) -> dict[str, Any]:
    """Queries of a warm process: every one was asked once before."""
    body = json.loads((folder / "index" / "index.json").read_text())
    blocks = []
    for task in range(1, TASKS + 1):
        file = folder / f"{task:02d}.safetensors"
        block = Block(task, tuple(map(str, range(clips // TASKS))), *map_tensor(file, "embeddings"))
        blocks.append(StoredBlock(block, file, f"{task:02d}-evaluated"))
    began = time.perf_counter()
    gallery = Gallery(folder, blocks)
    opening = time.perf_counter() - began
    gallery.shortlist.share, gallery.shortlist.candidates = body["share"], body["candidates"]
    times = []
    asked = queries(blocks)
    for one in [*asked, *asked]:
        began = time.perf_counter()
        gallery.query(*one)
        times.append(time.perf_counter() - began)
    cold, warm = sorted(times[:QUERIES]), sorted(times[QUERIES:])
    return {
        "open, s": opening, "p50, ms": 1e3 * warm[QUERIES // 2],
        "p95, ms": 1e3 * warm[QUERIES * 95 // 100], "p50 first time, ms": 1e3 * cold[QUERIES // 2],
        **{f"{name}, MB": value for name, value in memory().items()},
    }  # fmt: skip


def main() -> None:
    """One size: a line a figure, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, required=True)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--ask", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.ask:
        print(json.dumps(ask(given.clips, given.folder)))
        return
    folder = Path(tempfile.mkdtemp(dir=given.folder))
    try:
        body = measure(given.clips, folder)
    finally:
        shutil.rmtree(folder)
    if given.json:
        print(json.dumps(body))
        return
    for name, value in body.items():
        print(f"{name:<24}{value:>12.4g}")


if __name__ == "__main__":
    main()
