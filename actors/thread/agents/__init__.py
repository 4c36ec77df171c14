"""The agents of a thread: the parent's side, the child's side, and the family that both belong to."""
