"""The client of models: requests, streamed events, errors."""
