"""Every stage against a limit or against how it is usually done: ``make bench``."""
