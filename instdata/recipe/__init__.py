"""The recipe: its model, its YAML, overrides, and what a build of it will take."""
