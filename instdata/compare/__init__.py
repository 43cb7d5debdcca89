"""What a choice did: cells, arms, experiments, effects with intervals."""
