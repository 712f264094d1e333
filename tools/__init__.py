"""Checks of the repository (``tools.lint``) and its generated reference (``tools.docs``)."""
