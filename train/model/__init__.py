"""The model after the cut: towers, adapters, similarities."""
