"""One turn: build a request, stream the model's answer, run its calls, repeat. Knows no thread, registry or client."""
