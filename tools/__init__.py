"""Scripts that made or measured something; not installed."""
