"""`python -m gnndiff`."""

from gnndiff.cli import main

main()
