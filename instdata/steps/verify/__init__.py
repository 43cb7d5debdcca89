"""verify: whether a row is right, by what its ability can be checked by."""
