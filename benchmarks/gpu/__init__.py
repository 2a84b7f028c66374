"""What there is to find out on a machine with a GPU: `python -m benchmarks.gpu STEP`."""
