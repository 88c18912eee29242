#!/usr/bin/env bash
# PyAV says the same of a mirrored video and of one turned by half.
#
# Guess: frame.rotation is 180 for a video to be turned upside down and 0 (or an error) for one to be
# mirrored, since a mirror is no rotation; so turning frames by it shows what a player shows.
# Seen: a pure horizontal mirror (matrix -1 0 0 1) has rotation -180, as a real half turn has; a pure
# vertical mirror (1 0 0 -1) has 0, as an upright video has. Whoever turns frames by the number shows
# mirrored selfies upside down. The matrix's determinant, which is in the track header, tells.
# Why it matters: front cameras of phones write such matrices; frames upside down are learnt and
# searched without a word.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check av==18.1.0 numpy==2.3.5
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import struct
from pathlib import Path

import av
import numpy as np

print("av", av.__version__)
W, H = 160, 120
MATRICES = {
    "upright": (1, 0, 0, 1, 0, 0),
    "half turn": (-1, 0, 0, -1, W, H),
    "horizontal mirror": (-1, 0, 0, 1, W, 0),
    "vertical mirror": (1, 0, 0, -1, 0, H),
}
with av.open("plain.mp4", "w") as out:
    stream = out.add_stream("mpeg4", rate=10)
    stream.width, stream.height, stream.pix_fmt = W, H, "yuv420p"
    for n in range(5):
        picture = np.full((H, W, 3), 40 * n, np.uint8)
        out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
    out.mux(stream.encode())
plain = Path("plain.mp4").read_bytes()
at = plain.index(b"tkhd") - 4 + 48  # the display matrix of a version 0 track header
seen = {}
for name, (a, b, c, d, x, y) in MATRICES.items():
    fixed = [round(v * 65536) for v in (a, b, 0, c, d, 0, x, y)]
    body = bytearray(plain)
    body[at : at + 36] = struct.pack(">9i", *fixed, 1 << 30)
    Path("turned.mp4").write_bytes(body)
    with av.open("turned.mp4") as container:
        seen[name] = next(container.decode(video=0)).rotation
    print(f"{name:18} rotation {seen[name]:5}  determinant {a * d - b * c}")
assert abs(seen["half turn"]) == 180 and seen["horizontal mirror"] == -180, seen
assert seen["upright"] == seen["vertical mirror"] == 0, seen
print("a mirror and a rotation cannot be told apart by frame.rotation")
PYTHON
