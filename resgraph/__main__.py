"""`python -m resgraph` is the command line."""

from resgraph.cli import main

main()
