"""What Saltern decides. Nothing in this package imports Salt, reads a clock or does I/O."""
