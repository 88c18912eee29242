"""The names of the files that a cut backbone is saved as."""

BACKBONE_FILE = "backbone.json"  # name, cut, configuration, preprocessing
FROZEN_FILE = "frozen.safetensors"  # the weights after the cut
STEM_FILE = "stem.safetensors"  # the weights before the cut, for the workers of an extraction
DIGESTS_FILE = "weights.json"  # sha256 of every weight
BPE_FILE = "bpe.txt.gz"  # the tokenizer's merges, where they are not open_clip's
TOKENIZER_FILE = "tokenizer.json"  # Hugging Face's, in place of merges
