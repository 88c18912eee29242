"""Ways to run the same batches: in this process, through Ray Data, or whichever is faster."""
