"""What every room uses: errors, files written whole, paths, progress, the engine, compiled kernels, YAML,
statistics."""
