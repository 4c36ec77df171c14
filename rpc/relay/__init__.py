"""What a relay and the shared daemon of a home say to each other, before the relay's client is served."""
