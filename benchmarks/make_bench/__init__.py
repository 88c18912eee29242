"""The rows of ``make bench``: each measures one stage against its limit, in seconds to minutes."""
