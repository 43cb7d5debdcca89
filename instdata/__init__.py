"""instdata: from raw instruction data to nested, ability-labelled subsets, and what each choice did."""

__version__ = "0.1.0"
