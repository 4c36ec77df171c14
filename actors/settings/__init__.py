"""The settings of threads: where they come from, how they are changed, checked, recorded and shown."""
