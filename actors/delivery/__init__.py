"""The way out to clients: outboxes, questions, long answers, and the turns that those are cut from."""
