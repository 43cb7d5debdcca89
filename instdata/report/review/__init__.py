"""Reviews: which rows people look at, what they said, and what that says of the whole."""
