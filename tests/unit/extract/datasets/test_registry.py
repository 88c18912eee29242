"""A name in configs/datasets is a file here with one reader; nothing else lists datasets."""

import dataclasses

import pytest
from structalign.extract.datasets.dataset import DatasetReader
from structalign.extract.datasets.registry import dataset_class, dataset_names, extract_defaults


@pytest.mark.parametrize("name", dataset_names())
def test_every_yaml_has_a_reader_with_helped_options(name: str) -> None:
    kind = dataset_class(name)
    assert issubclass(kind, DatasetReader)
    for field in dataclasses.fields(kind):
        assert field.metadata["help"] and field.default is not dataclasses.MISSING
    assert {"backbone", "pretrained", "frames", "views"} <= extract_defaults(name).keys()
