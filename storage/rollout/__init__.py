"""Rollouts: the append-only JSONL file of each thread, written by `journal` and read by `replay`."""
