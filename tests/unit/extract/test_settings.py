"""The user's options over the dataset's defaults."""

from typing import Any

import pytest
from structalign.extract.settings import ExtractOptions, ExtractSettings, resolve_settings


def chosen(**options: Any) -> ExtractSettings:
    return resolve_settings(ExtractOptions("msrvtt", **options))


def test_nothing_given() -> None:
    settings = chosen()
    assert (settings.backbone, settings.pretrained, settings.cut, settings.adapted_blocks) == (
        "ViT-B-32-quickgelu",
        "openai",
        None,
        10,
    )
    assert (settings.frames, settings.views.count, settings.views.scale, settings.views.flip) == (
        12,
        4,
        0.5,
        True,
    )


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"cut": 0}, ("ViT-B-32-quickgelu", "openai", 0, None)),
        ({"adapted_blocks": 2}, ("ViT-B-32-quickgelu", "openai", None, 2)),
        ({"pretrained": "random:1"}, ("ViT-B-32-quickgelu", "random:1", None, 10)),
        ({"backbone": "ViT-L-14"}, ("ViT-L-14", "openai", None, None)),
        ({"backbone": "demo"}, ("demo", "demo", 4, None)),
        ({"backbone": "ViT-L-14", "cut": 3}, ("ViT-L-14", "openai", 3, None)),
        (
            {"backbone": "ViT-B-32-quickgelu", "pretrained": "w.pt"},
            ("ViT-B-32-quickgelu", "w.pt", None, 10),
        ),
    ],
)
def test_weights_and_cut_belong_to_their_backbone(
    options: dict[str, Any], expected: tuple[Any, ...]
) -> None:
    settings = chosen(**options)
    assert (
        settings.backbone,
        settings.pretrained,
        settings.cut,
        settings.adapted_blocks,
    ) == expected
