"""Datasets: a file each, which reads a catalog and says where the videos are."""
