"""Audit: what a set holds, found by the steps of a build without a recipe and without dropping a row."""
