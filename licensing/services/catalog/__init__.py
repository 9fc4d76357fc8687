"""The catalog: which tags there are and what they name."""
