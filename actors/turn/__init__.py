"""One turn: build the request, stream the model's answer, repeat while there is input; it knows no registry and no client."""
