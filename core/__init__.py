"""What every room uses: errors, options, the console, processes, files, leases."""
