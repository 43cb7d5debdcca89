"""Fine-tuning: conversations as tokens, packed rows, one visible loop, checkpoints."""
