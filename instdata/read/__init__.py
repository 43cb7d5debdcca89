"""From files and Hub sets to shards of rows: which files, bytes, records, what they mean."""
