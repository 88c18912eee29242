#!/usr/bin/env bash
# FFmpeg 8 opens an animated WebP as a video and cannot decode one frame of it.
#
# Guess: as GIF and APNG, an animated WebP is a short video to FFmpeg: PyAV's wheels have a WebP
# decoder, and the file opens with a video stream.
# Seen: it opens as "webp_pipe" with one video stream, and the first packet is InvalidDataError
# ("Invalid data found"), as of a damaged file. Pillow reads all five frames with their durations.
# A still WebP decodes.
# Why it matters: collections of short clips saved as WebP are taken for damaged; they have to be read by
# another library.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check av==18.1.0 pillow==12.0.0
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import av
import PIL
from PIL import Image

print("av", av.__version__, "libavcodec", av.library_versions["libavcodec"], "pillow", PIL.__version__)
pictures = [Image.new("RGB", (32, 32), (40 * i, 0, 0)) for i in range(5)]
for name in ("short.gif", "short.png", "short.webp"):
    pictures[0].save(name, save_all=True, append_images=pictures[1:], duration=100)
pictures[0].save("still.webp")


def decoded(name):
    with av.open(name) as container:
        count = 0
        try:
            for _ in container.decode(video=0):
                count += 1
        except av.error.InvalidDataError:
            return container.format.name, "InvalidDataError"
        return container.format.name, count


seen = {name: decoded(name) for name in ("short.gif", "short.png", "still.webp", "short.webp")}
for name, outcome in seen.items():
    print(name, outcome)
with Image.open("short.webp") as picture:
    print("Pillow finds", picture.n_frames, "frames in short.webp")
    assert picture.n_frames == 5
assert seen["short.gif"][1] == 5 and seen["still.webp"][1] == 1, seen
assert seen["short.webp"] == ("webp_pipe", "InvalidDataError"), seen
PYTHON
