"""What a row asks for: the taxonomy, and the models that put a label and a calibrated confidence on each row."""
