"""Stored threads seen from outside: where a thread's rollout is, what its head says, lists of them, the archive, names.

Everything here blocks on the disk; callers run it in a worker thread. Nothing needs a lock to read. Import from the
modules: a list is often what a client asks for first, and should not wait for what moves or writes rollouts.
"""
