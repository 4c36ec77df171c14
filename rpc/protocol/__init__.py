"""The types of the Codex app-server protocol (version 2), as attrs classes; one module per noun.

Nothing is imported here, so that a program imports only the nouns it uses.
"""
