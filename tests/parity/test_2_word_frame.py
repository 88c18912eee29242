"""Topic 2: word-frame similarity."""

from helpers.golden import Golden, close
from helpers.similarity import word_frame_similarity_reference
from structalign.train.model.similarity import word_frame_similarity

FILE = "2_word_frame"


def test_fast_path_and_reference(golden: Golden) -> None:
    frames, words, lengths = (golden.get(FILE, name) for name in ("frames", "words", "words.len"))
    for similarity in (word_frame_similarity, word_frame_similarity_reference):
        close(similarity(frames, words, lengths), golden.get(FILE, "sim"))
        close(similarity(frames, words, lengths).T, golden.get(FILE, "sim_eval"))
