"""The kernel: mailboxes, actors, and the table of incarnations."""
