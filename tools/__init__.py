"""Commands for working on minicnn; no part of the package."""
