"""The steps of a recipe: what a step is, how one is run, and each kind in a file or folder of its own."""
