"""Run commands: decide whether they may run, start them, stream their output, and end them with all that they started."""
