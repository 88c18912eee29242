"""Video files: which frames they show, how to decode them, and why some fail."""
