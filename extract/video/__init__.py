"""Video files: which frames they show, how they are decoded, and what is wrong with them."""
