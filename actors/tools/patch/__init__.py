"""apply_patch: parse a patch, plan it, apply it, and show the diff of all that a turn changed.

`plan` reads the files and verifies every hunk. The plan is shown and approved. `apply` then carries it out, whole or not at
all. The format and the answers to the model are those of Codex 0.124.
"""
