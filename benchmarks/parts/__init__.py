"""What several benchmarks use: synthetic data, a training step, timing, the table."""
