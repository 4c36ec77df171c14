"""Agents: the parent's side, the child's side, the family that both belong to, and an agent's life in it."""
