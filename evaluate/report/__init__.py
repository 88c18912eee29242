"""Reports: the printed table, and one self-contained HTML page over finished runs."""
