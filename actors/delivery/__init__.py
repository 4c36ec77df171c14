"""What goes to clients: events and outboxes, questions, long answers, and the snapshots of turns they are made from."""
