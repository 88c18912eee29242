"""Datasets: each reader gives a catalog and says where the videos are."""
