"""Write docs/towers.md: open_clip's models with weights, how they are cut, or why they are not."""

import textwrap
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import open_clip
from structalign.backbones.family import Config, families, family_of
from structalign.core.errors import StructAlignError

FLOAT16, FRAMES, CELLS = 2, 12, 4
HEAD = f"""# Every model of open_clip with weights

Written by `python docs/make_towers.py` from open_clip {open_clip.__version__}; a test compares
them. Of {{pairs}} pairs of a name and weights {{cut}} are cut between blocks, {{whole}} frozen
whole. A clip has {FRAMES} frames and one view here; `--cut all` keeps a frame
and the {CELLS} cells of a 2 x 2 grid. [Backbones](backbones.md) says what the families are.

| Backbone | Weights | Family | Cuts | Tokens of a frame | A clip | A clip, `--cut all` |
| --- | --- | --- | --- | --- | --- | --- |
"""


def make_page() -> str:
    """The page: a row for each name, then the names that are refused by their reason."""
    weights = Counter(name for name, _ in open_clip.list_pretrained())
    configs: dict[str, Config] = {name: open_clip.get_model_config(name) for name in weights}
    accepted = {
        whole: {name for name in weights if not refusal(name, configs[name], whole)}
        for whole in (False, True)
    }
    rows = [
        row(name, weights[name], configs[name], name in accepted[False])
        for name in sorted(accepted[True], key=str.lower)
    ]
    refused = sorted(weights.keys() - accepted[True])
    last = ["", "## Refused", "", *(f"- `{n}`: {refusal(n, configs[n], True)}" for n in refused)]
    pairs = {whole: sum(weights[name] for name in names) for whole, names in accepted.items()}
    head = HEAD.format(cut=pairs[False], pairs=weights.total(), whole=pairs[True])
    return head + "\n".join([*rows, *wrapped(last)]) + "\n"


def refusal(name: str, config: Config, whole: bool) -> str:
    """Why a name is refused; empty if it is not."""
    try:
        family_of(name, config, whole)
    except StructAlignError as error:
        return str(error).split(": ", 1)[1].split("; or use")[0]
    return ""


def row(name: str, weights: int, config: Config, is_cut: bool) -> str:
    """A row of the table."""
    family = family_of(name, config, whole=True)
    file = next(file for file, known in families().items() if known is family)
    cells = [f"`{name}`", str(weights), f"`{file}`", "-", "-", "-"]
    if is_cut:
        tokens, width = family.token_shape(config)
        size = FRAMES * tokens * width * FLOAT16
        cells[3:] = [f"0 to {family.blocks(config) - 1}", f"{tokens} x {width}", kilobytes(size)]
    whole = FRAMES * (1 + CELLS) * config["embed_dim"] * FLOAT16
    return f"| {' | '.join([*cells, kilobytes(whole)])} |"


def kilobytes(size: int) -> str:
    """Bytes as decimal kilobytes."""
    return f"{size / 1000:,.0f} kB"


def wrapped(lines: list[str]) -> Iterator[str]:
    """Lines of at most 100 characters."""
    for line in lines:
        yield from textwrap.wrap(line, 100, subsequent_indent="  ") or [""]


if __name__ == "__main__":
    Path(__file__).with_name("towers.md").write_text(make_page())
