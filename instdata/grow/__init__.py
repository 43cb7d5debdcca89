"""How abilities grow with data: curves, fits, where the next rows pay."""
