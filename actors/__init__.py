"""What lives: everything that is a task. The kernel, the registry, threads, turns, connections and the runtime."""
