"""All rows of a build, kept and dropped, paged, filtered and searched; and what other thresholds would do."""
