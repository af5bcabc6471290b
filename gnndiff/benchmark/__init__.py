"""Benchmarks with the same effort for each model: tables with paired intervals that go on where they stopped."""
