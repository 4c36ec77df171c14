"""Running commands: processes that never outlive who started them, their output, and whether they may run at all."""
