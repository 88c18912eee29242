"""Defaults that the verbs, the command line and the rooms share."""

METHOD = "structalign"
TASKS = 10
SEED = 0
SEEDS = (0, 1, 2)  # of a sweep
DEVICE = "auto"  # CUDA where there is one, else the CPU
TOP = 5  # search results
CHECKPOINT_EVERY = 60.0  # seconds between checkpoints inside a task
DECODE_TIMEOUT = 60.0  # seconds for one clip
