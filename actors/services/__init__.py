"""What the threads of one runtime share: models, the index, skills, rules, worker limits."""
