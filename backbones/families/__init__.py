"""Families of backbones: one file each, found by ``backbones.family``."""
