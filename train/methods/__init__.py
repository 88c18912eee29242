"""Methods, one file each; ``base.py`` is the interface."""
