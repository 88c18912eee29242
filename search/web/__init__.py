"""A search page and a JSON API over finished runs, on this machine."""
