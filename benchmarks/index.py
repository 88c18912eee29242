"""Search in large galleries: the index against the exact search.

python -m structalign.benchmarks.index --clips N [--json] [--folder DIR]

Synthetic clustered embeddings (12 frames of 512 dimensions, 20 tasks) as float32 safetensors on
disk, 24 KB a clip, and queries of 10 words, each near a clip. Prints recall@10 against the exact
search, milliseconds of an encoded query (p50, p95), resident memory with and without the mapped
files, and the time to build the index and to append a task.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..core.tensors import StoredTensor
from ..search.block_index import CHUNK
from ..search.candidates import CandidateIndex, StoredBlock
from ..search.run_index import MIN_RECALL
from ..search.searcher import SAMPLE
from ..train.gallery import Block
from ..train.model.similarity import global_similarity, word_frame_similarity
from ..train.seeds import generator

FRAMES, DIM, TASKS, WORDS, QUERIES, CLUSTERS = 12, 512, 20, 10, 100, 200
CHECKED = 20  # queries that the exact search answers too


def write_block(file: Path, clips: int, task: int) -> None:
    """Write the frames of a task's clips, near centres of clusters, as a run stores them."""
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
            offset = torch.randn(count, 1, DIM, generator=rng) * DIM**-0.5
            noise = torch.randn(count, FRAMES, DIM, generator=rng) * DIM**-0.5
            frames = F.normalize(centres[chosen][:, None] + offset + 0.5 * noise, dim=-1)
            out.write(frames.numpy().tobytes())


class Gallery:
    """Blocks on disk with their index, searched exactly or with candidates."""

    def __init__(self, folder: Path, blocks: list[StoredBlock]) -> None:
        self.blocks = blocks
        self.index = CandidateIndex.open(folder / "index", blocks)
        rows = [torch.randperm(len(b.block.clips), generator=generator(0, "sample"))[: -(-SAMPLE
                // len(blocks))].sort().values for b in blocks]  # fmt: skip
        self.sample = [b.block.rows(drawn) for b, drawn in zip(blocks, rows, strict=True)]

    def query(self, words: Tensor, text: Tensor) -> list[tuple[int, int]]:
        """(block, row) of the best ten among the candidates. words [1, L, D], text [D]."""
        rows = self.index.rows([text] * len(self.blocks), None)
        sampled = [similarities(frames, words, text) for frames in self.sample]
        compared = [
            similarities(stored.block.rows(chosen), words, text)
            for stored, chosen in zip(self.blocks, rows, strict=True)
        ]
        clips = [(n, row) for n, chosen in enumerate(rows) for row in chosen.tolist()]
        return best(torch.cat(compared, 1), torch.cat(sampled, 1), clips)

    def exact(self, queries: list[tuple[Tensor, Tensor]]) -> list[list[tuple[int, int]]]:
        """The best ten of all clips for each query; all queries in one pass over the files."""
        words = torch.cat([words for words, _ in queries])
        texts = torch.stack([text for _, text in queries])
        lengths = torch.full((len(queries),), WORDS)
        compared, clips = [], []
        for n, stored in enumerate(self.blocks):
            for chunk in stored.block.chunks(CHUNK):
                both = word_frame_similarity(chunk, words, lengths), global_similarity(chunk, texts)
                compared.append(torch.stack(both))
            clips += [(n, row) for row in range(len(stored.block.clips))]
        by_query = torch.cat(compared, 1).unbind(2)
        return [best(scores, scores, clips) for scores in by_query]


def similarities(frames: Tensor, words: Tensor, text: Tensor) -> Tensor:
    """Word-frame and global similarity [2, V]."""
    lengths = torch.tensor([words.shape[1]])
    both = (word_frame_similarity(frames, words, lengths), global_similarity(frames, text[None]))
    return torch.stack([scores[:, 0] for scores in both])


def best(compared: Tensor, sampled: Tensor, clips: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The ten clips with the highest mean z-score, with the statistics of a sample."""
    deviation = sampled.std(1, correction=0, keepdim=True)
    standard = (compared - sampled.mean(1, keepdim=True)) / deviation
    return [clips[index] for index in standard.mean(0).topk(min(10, len(clips))).indices.tolist()]


def make_queries(blocks: list[StoredBlock]) -> list[tuple[Tensor, Tensor]]:
    """Queries near some clip: words [1, L, D], each near a frame, and text [D]."""
    rng, queries = generator(0, "queries"), []
    for number in range(QUERIES):
        block = blocks[number % len(blocks)].block
        row = int(torch.randint(len(block.clips), (1,), generator=rng))
        frames = block.rows(torch.tensor([row]))[0]
        noise = torch.randn(WORDS + 1, DIM, generator=rng) * DIM**-0.5
        chosen = torch.randint(FRAMES, (WORDS,), generator=rng)
        words = F.normalize(frames[chosen] + 1.2 * noise[:-1], dim=-1)
        queries.append((words[None], F.normalize(frames.mean(0) + 0.8 * noise[-1], dim=-1)))
    return queries


def memory() -> dict[str, float]:
    """Resident MB: all, without mapped files, and the peak."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    fields = {"resident": "VmRSS", "own": "RssAnon", "peak": "VmHWM"}
    return {name: int(status[key].split()[0]) / 1024 for name, key in fields.items()}


def open_blocks(folder: Path, clips: int) -> list[StoredBlock]:
    """The tasks' blocks, left in their files."""
    blocks = []
    for task in range(1, TASKS + 1):
        file = folder / f"{task:02d}.safetensors"
        block = Block(
            task, tuple(map(str, range(clips // TASKS))), StoredTensor(file, "embeddings")
        )
        blocks.append(StoredBlock(block, file, f"{task:02d}-evaluated"))
    return blocks


@torch.no_grad()
def measure(clips: int, folder: Path) -> dict[str, Any]:
    """Write the gallery, build the index, check it, and search in a new process."""
    for task in range(1, TASKS + 1):
        write_block(folder / f"{task:02d}.safetensors", clips // TASKS, task)
    blocks = open_blocks(folder, clips)
    began = time.perf_counter()
    index = Gallery(folder, blocks[:-1]).index
    building = time.perf_counter() - began
    index.save_check(folder / "index", blocks[:-1], 0.0)
    began = time.perf_counter()
    gallery = Gallery(folder, blocks)
    appending = time.perf_counter() - began
    index, queries = gallery.index, make_queries(blocks)[:CHECKED]
    exact, recall = gallery.exact(queries), 0.0
    for _ in index.settings():
        near = [gallery.query(*query) for query in queries]
        hits = [len(set(a) & set(b)) / 10 for a, b in zip(near, exact, strict=True)]
        recall = statistics.fmean(hits)
        if recall >= MIN_RECALL:
            break
    index.save_check(folder / "index", blocks, recall)
    line = [sys.executable, "-m", "structalign.benchmarks.index", "--clips", str(clips),
            "--folder", str(folder), "--query"]  # fmt: skip
    done = subprocess.run(line, stdout=subprocess.PIPE, text=True, check=True)
    return {
        "clips": clips, "recall@10": recall, "candidates": index.count,
        "share of lists": index.share, "build, s": building, "append a task, s": appending,
        **json.loads(done.stdout),
    }  # fmt: skip


@torch.no_grad()
def time_queries(clips: int, folder: Path) -> dict[str, Any]:
    """Open the index and run every query twice: the second time, the process is warm."""
    blocks = open_blocks(folder, clips)
    began = time.perf_counter()
    gallery = Gallery(folder, blocks)
    opening = time.perf_counter() - began
    times = []
    queries = make_queries(blocks)
    for query in [*queries, *queries]:
        began = time.perf_counter()
        gallery.query(*query)
        times.append(time.perf_counter() - began)
    cold, warm = sorted(times[:QUERIES]), sorted(times[QUERIES:])
    return {
        "open, s": opening, "p50, ms": 1e3 * warm[QUERIES // 2],
        "p95, ms": 1e3 * warm[QUERIES * 95 // 100], "p50 first time, ms": 1e3 * cold[QUERIES // 2],
        **{f"{name}, MB": value for name, value in memory().items()},
    }  # fmt: skip


def main() -> None:
    """Print the figures of one gallery size, one per line or as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, required=True)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--query", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.query:
        print(json.dumps(time_queries(given.clips, given.folder)))
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
