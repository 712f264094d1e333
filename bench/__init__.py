"""Every speed and size that Saltern claims, measured. See docs/howto/benchmarks.md."""
