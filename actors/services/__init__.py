"""What the threads of one runtime share: model clients, the index, skills, rules, limits on worker threads."""
