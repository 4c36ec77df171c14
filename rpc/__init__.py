"""What is said: the protocol's vocabulary, the transports that carry it, and the model's side of the wire."""
