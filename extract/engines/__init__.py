"""Engines run batches: in this process, through Ray Data, or whichever is faster."""
