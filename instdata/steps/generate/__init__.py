"""Writing new rows with a language model: exactly as many as asked for, within budget."""
