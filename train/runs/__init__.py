"""Runs on disk: a folder with configuration, finished tasks, stages and the training log."""
