"""Stored threads: find a rollout, read its head, list, archive, name and delete threads.

Everything here blocks; call it from a worker thread. Reading needs no lock. Import from the modules: a list is often a
client's first request, and must not wait for imports that only moving or writing needs.
"""
