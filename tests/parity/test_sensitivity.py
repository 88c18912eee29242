"""The parity tests can fail.

Changing any one of these expected tensors by 1% makes a test of its topic fail.
"""

from collections.abc import Callable
from fnmatch import fnmatch

import pytest
from helpers.golden import Golden
from parity import (
    test_1_towers,
    test_2_word_frame,
    test_3_contrastive_and_relation,
    test_4_etf,
    test_5_prototypes,
    test_6_cross_task,
    test_7_evaluation,
    test_8_training_steps,
    test_9_schedule,
    test_10_protocol,
)

Check = Callable[[Golden], None]


def overall_scores(golden: Golden) -> None:
    test_10_protocol.test_scores_of_every_stage(golden, test_10_protocol.TwoTasks(golden))


CASES: list[tuple[str, str, Check]] = [
    ("1_model_io", "vision.frame_embeds", test_1_towers.test_frame_embeddings_from_every_cut),
    (
        "1_model_io",
        "text.p2.words",
        lambda golden: test_1_towers.test_captions_by_every_path(golden, "p2"),
    ),
    ("1_model_io", "gating.gates_train", test_1_towers.test_noisy_gating),
    ("1_model_io", "edge.p2.global", test_1_towers.test_edge_captions),
    ("2_word_frame", "sim", test_2_word_frame.test_fast_path_and_reference),
    ("3_scl_crp", "distill", test_3_contrastive_and_relation.test_losses_and_gradients),
    ("3_scl_crp", "grad_video", test_3_contrastive_and_relation.test_losses_and_gradients),
    ("4_etf", "etf[0-9]*", test_4_etf.test_matrices_come_from_the_recorded_draw),
    ("4_etf", "loss_proto_term", test_4_etf.test_alignment_and_gradients),
    ("5_prototypes", "cmp.video_radius", test_5_prototypes.test_means_and_radii),
    ("5_prototypes", "pal.loss", test_5_prototypes.test_replay_loss),
    ("6_triplet", "loss_ref", test_6_cross_task.test_with_and_without_stored_videos),
    ("7_evaluation", "fused", test_7_evaluation.test_fusion),
    (
        "8_train_step",
        "t1.total_loss",
        lambda golden: test_8_training_steps.test_losses(golden, "t1"),
    ),
    (
        "8_train_step",
        "t2.grad_norms",
        lambda golden: test_8_training_steps.test_every_gradient(golden, "t2"),
    ),
    ("8_train_step", "t2n.total", test_8_training_steps.test_step_with_routing_noise),
    ("9_schedule", "later", test_9_schedule.test_full_cosine),
    ("10_eval_protocol", "overall_sims", overall_scores),
    ("10_eval_protocol", "final_sims_task1", overall_scores),
]


@pytest.mark.parametrize(
    ("file", "name", "check"), CASES, ids=[f"{file}-{name}" for file, name, _ in CASES]
)
def test_one_percent_is_noticed(golden: Golden, file: str, name: str, check: Check) -> None:
    changed = Golden(golden.folder)
    tensors = changed.file(file)
    patterns = (name, f"{name}.f64")
    matching = [key for key in tensors if any(fnmatch(key, pattern) for pattern in patterns)]
    assert matching
    for key in matching:
        tensors[key] = tensors[key] * 1.01
    with pytest.raises(AssertionError):
        check(changed)


def test_a_weight_is_noticed(golden: Golden) -> None:
    changed = Golden(golden.folder)
    last = golden.config["vision"]["num_hidden_layers"] - 1
    changed.weights[
        f"clipmodel.vision_model.encoder.layers.{last}.self_attn.frame_cross_attention.v_proj.weight"
    ] *= 1.01
    with pytest.raises(AssertionError):
        test_1_towers.test_frame_embeddings_from_every_cut(changed)
