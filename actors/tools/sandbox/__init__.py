"""From a sandbox policy to a confined command: what it may touch, and the argv that holds it to that."""
