"""What is kept: rollouts, their locks and index, configuration and credentials, all below one home directory."""
