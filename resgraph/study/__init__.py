"""What many runs show together: curves, what goes on in units, sweeps, the paper's tables."""
