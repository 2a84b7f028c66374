"""That verification neither cries wolf nor sleeps, shown by counts: `make test-machines`."""
