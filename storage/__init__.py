"""Storage: rollouts, their locks and index, state, configuration and credentials, below one home directory."""
