"""Training and measuring together: the driver of a run, sweeps, the conflict study, probes."""
