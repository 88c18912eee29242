"""The report: one self-contained HTML page over finished runs."""
