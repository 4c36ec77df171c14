"""One actor per client connection, and the methods that clients may call."""
