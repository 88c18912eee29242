#!/usr/bin/env bash
# A JPEG with EXIF has no readable side data in PyAV: one kind it does not know hides all others.
#
# Guess: frame.side_data gives what PyAV has names for, such as the display matrix that FFmpeg makes
# of an EXIF orientation, and leaves out what it has none for.
# Seen: FFmpeg 8 puts the whole EXIF block into the frame's side data (kind 31), for which PyAV 18.1
# has no name, and frame.side_data raises ValueError: for every photo of a camera or phone, turned
# or not. A photo without EXIF is read. frame.rotation still works.
# Why it matters: whoever reads the matrix itself, as one must to tell a mirror from a turn, gets an
# error for exactly the photos that have one.
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
MAKER, ORIENTATION = 0x010F, 0x0112


def written(name, tags):
    exif = Image.Exif()
    for tag, value in tags.items():
        exif[tag] = value
    Image.new("RGB", (32, 16), (200, 0, 0)).save(name, exif=exif if tags else b"")
    with av.open(name) as container:
        frame = next(container.decode(video=0))
    try:
        return [str(data.type) for data in frame.side_data], frame.rotation
    except ValueError as error:
        return str(error), frame.rotation


plain, maker = written("plain.jpg", {}), written("maker.jpg", {MAKER: "someone"})
turned = written("turned.jpg", {ORIENTATION: 6})
print("no EXIF          ", plain)
print("a maker's name   ", maker)
print("orientation 6    ", turned)
assert plain == ([], 0), plain
assert maker == ("31 is not a valid Type", 0), maker
assert turned == ("31 is not a valid Type", -90), turned
PYTHON
