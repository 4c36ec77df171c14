"""From a sandbox policy to a confined command: what it may read and write, and the command line that enforces it."""
