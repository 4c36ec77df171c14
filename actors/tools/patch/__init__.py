"""apply_patch: its text, what it would change, changing it, and the diff of all that a turn changed.

A patch is planned first (`plan`, which reads files and verifies every hunk), shown and approved as planned, and then
applied (`apply`, whole or not at all). The format and the words a model is answered with are those of Codex 0.124.
"""
