"""Topic 3: the contrastive and the cross-modal relation preserving loss, with gradients."""

import torch
from helpers.golden import Golden, close, close_gradient
from structalign.train.contrastive import contrastive
from structalign.train.methods.structalign.losses import CRP_TEMPERATURE, relation_preserving
from structalign.train.model.similarity import word_frame_similarity

FILE = "3_scl_crp"


def test_losses_and_gradients(golden: Golden) -> None:
    frames = golden.get(FILE, "video_embeds").clone().requires_grad_()
    words = golden.get(FILE, "words").clone().requires_grad_()
    lengths, method = golden.get(FILE, "words.len"), golden.method()
    scale = golden.get(FILE, "logit_scale").clone().requires_grad_()
    logits = word_frame_similarity(frames, words, lengths) * method.logit_factor(
        scale.exp(), len(lengths)
    )
    taught = word_frame_similarity(
        golden.get(FILE, "ref_video_embeds"), golden.get(FILE, "ref_words"), lengths
    )
    taught = taught * method.logit_factor(golden.get(FILE, "ref_logit_scale").exp(), len(lengths))
    close(logits, golden.get(FILE, "logits_v2t"))
    close(taught, golden.get(FILE, "ref_logits_v2t"))
    nce, crp = contrastive(logits), relation_preserving(logits, taught)
    close(nce, golden.get(FILE, "nce"))
    close(crp, golden.get(FILE, "distill"))
    total = nce + 10 * crp
    close(total, golden.get(FILE, "total"))
    total.backward()
    gradients = {
        "grad_video": frames.grad,
        "grad_words": words.grad,
        "grad_logit_scale": scale.grad,
    }
    for name, gradient in gradients.items():
        if name in golden.file(FILE):
            assert gradient is not None
            close_gradient(gradient, golden.get(FILE, name))


def test_both_directions_of_the_divergence(golden: Golden) -> None:
    student, teacher = golden.get(FILE, "logits_v2t"), golden.get(FILE, "ref_logits_v2t")
    for name, s, t in (("kl_v2t", student, teacher), ("kl_t2v", student.T, teacher.T)):
        p = (t / CRP_TEMPERATURE).softmax(-1)
        by_hand = (
            CRP_TEMPERATURE**2
            * (p * (p.log() - (s / CRP_TEMPERATURE).log_softmax(-1))).sum()
            / len(s)
        )
        close(by_hand, golden.get(FILE, name))
    assert torch.isclose(
        relation_preserving(student, teacher),
        (golden.get(FILE, "kl_v2t") + golden.get(FILE, "kl_t2v")) / 2,
        atol=1e-5,
    )
