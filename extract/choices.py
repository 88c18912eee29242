"""What an extraction is asked to do: the user's options over the dataset's defaults."""

from collections.abc import Mapping
from typing import Any

from extract.plan import ExtractSettings, ViewRule


def choose(options: Mapping[str, Any], defaults: Mapping[str, Any]) -> ExtractSettings:
    """Settings from the options of the command line, None where not given, and the ``extract`` part of the dataset's YAML.

    Another backbone than the default's does not take over the default's weights or cut; a cut or a number of adapted blocks that was given
    replaces both defaults.
    """
    own_backbone = options["backbone"] in (None, defaults["backbone"])
    cut_given = options["cut"] is not None or options["adapted_blocks"] is not None
    chosen = options if cut_given else defaults
    return ExtractSettings(
        backbone=options["backbone"] or defaults["backbone"],
        pretrained=options["pretrained"] or (defaults["pretrained"] if own_backbone else "openai"),
        cut=chosen.get("cut") if own_backbone or cut_given else None,
        adapted_blocks=chosen.get("adapted_blocks"),
        frames=options["frames"] or defaults["frames"],
        views=ViewRule(options["views"] or defaults["views"], options["seed"], defaults["view_scale"], defaults["view_flip"]),
        device=options["device"],
        engine=options["engine"],
        workers=options["workers"],
        ray_address=options["ray_address"],
        max_bad=options["max_bad"],
        retry_bad=options["retry_bad"],
        decode_timeout=options["decode_timeout"],
    )
