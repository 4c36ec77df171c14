"""Runs the command line: `python -m spindle`."""

from spindle.cli import main

main()
