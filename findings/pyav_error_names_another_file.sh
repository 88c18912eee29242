#!/usr/bin/env bash
# An exception of PyAV can end with a log line of a file that was read before.
#
# Guess: "last error log" in the text of an av exception is of the call that failed.
# Seen: it is the last ERROR line of the process that no exception has used yet. Work that logged an
# error and succeeded (FFmpeg conceals damage) leaves its line to the next exception, whatever file
# that is about; the one after has no such line.
# Why it matters: a worker that decodes many files blames a file for another one's damage, and the same
# file gets another reason when it is tried alone.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check av==18.1.0
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import av

print("av", av.__version__)
av.logging.set_level(av.logging.ERROR)


def opened(name):
    try:
        av.open(name)
    except FileNotFoundError as error:
        return str(error)
    raise AssertionError(name)


before = opened("missing.mp4")
av.logging.log(av.logging.ERROR, "decoder", "damage concealed in first.mp4")
after, later = opened("missing.mp4"), opened("missing.mp4")
print("before", before)
print("after ", after)
print("later ", later)
assert "last error log" not in before and before == later, (before, later)
assert after == before + "; last error log: [decoder] damage concealed in first.mp4", after
PYTHON
