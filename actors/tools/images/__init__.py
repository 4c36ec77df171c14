"""Images from files: what is one, whether it is whole, and how large it goes to the model."""
