"""The model: what a turn asks of it, what it streams back, and how it fails."""
