"""The demo world: procedural clips as real video files, with captions."""
