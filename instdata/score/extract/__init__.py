"""What an answer says: the number, the choice, the label that it settles on."""
