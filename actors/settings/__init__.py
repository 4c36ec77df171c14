"""The settings of threads: how they are read, changed, checked and recorded."""
