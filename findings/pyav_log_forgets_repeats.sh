#!/usr/bin/env bash
# PyAV's log capture leaves out a message that equals the last one, even of an earlier capture.
#
# Guess: av.logging.Capture() around the work on a file has every message of that work; what was
# logged before the capture began cannot change what is in it.
# Seen: a message that equals the last one of the process is left out, in a new capture too, and the
# next other message brings it back: a capture of work that never logged it then begins with it.
# av.logging.set_skip_repeated(False) ends both.
# Why it matters: FFmpeg conceals damage, and only its log tells. Of two clips with the same damage the
# second passes as whole, and a good clip after them inherits the complaint, so what a cache holds
# depends on the order in which its clips were decoded.
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


def captured(message):
    with av.logging.Capture() as said:
        av.logging.log(av.logging.ERROR, "decoder", message)
    return [text.strip() for _, _, text in said]


first, second, third = captured("damage"), captured("damage"), captured("other")
print("first ", first)
print("second", second)
print("third ", third)
assert first == ["damage"] and second == [], (first, second)
assert third == ["damage", "other"], third
av.logging.set_skip_repeated(False)
assert captured("damage") == captured("damage") == ["damage"]
print("with set_skip_repeated(False) every capture has its own messages")
PYTHON
