"""The corpus: the row and its views, shards, sidecars of scores, ladders, the ledger, the build folder."""
