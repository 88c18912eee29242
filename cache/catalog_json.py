"""The catalog as JSON, in bundles: JSON cannot unpack to more than its own size."""

import json
from dataclasses import asdict

from ..core.errors import StructAlignError
from ..core.files import parse_json
from .catalog import Catalog, Clip
from .layout import CATALOG_JSON


def catalog_json(catalog: Catalog) -> bytes:
    """A catalog as UTF-8 JSON."""
    clips = [asdict(clip) for clip in catalog]
    body = {"dataset": catalog.dataset, "categories": catalog.categories, "clips": clips}
    return (json.dumps(body, ensure_ascii=False, indent=1) + "\n").encode()


def parse_catalog_json(body: bytes, where: object) -> Catalog:
    """The catalog in the bytes of a file that lies in ``where``. Raises StructAlignError."""
    try:
        content = parse_json(body.decode("utf-8"))
        clips = [
            Clip(
                captions=as_texts(row.pop("captions")),
                extra=parse_extra(row.pop("twin", None), row.pop("extra", {})),
                **row,
            )
            for row in content["clips"]
        ]
        return Catalog(content["dataset"], as_texts(content["categories"]), clips)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StructAlignError(f"{where}/{CATALOG_JSON} is not a catalog: {error}") from error


def as_texts(value: object) -> tuple[str, ...]:
    """A list of texts from JSON. Raises TypeError."""
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise TypeError(f"{str(value)[:40]!r} is not a list of texts")
    return tuple(value)


def parse_extra(twin: object, extra: object) -> dict[str, str]:
    """A clip's extra from JSON; version 0.3 had ``twin`` instead. Raises TypeError."""
    values = extra if twin is None else {"twin": twin}
    if not isinstance(values, dict) or not all(isinstance(v, str) for v in values.values()):
        raise TypeError(f"extra {str(values)[:40]!r} does not map texts to texts")
    return values
