"""Towers: what stands before the cut and after it, and the weights as files."""
