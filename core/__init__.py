"""What every room stands on: errors, options, progress, processes, files."""
