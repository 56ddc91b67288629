"""Commands for those who work on minicnn; no part of the package."""
