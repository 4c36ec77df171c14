"""How a thread comes into memory: new, from its rollout, from a history, as a fork, as an agent."""
