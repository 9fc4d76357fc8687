"""Certificates, keys and signatures: pure functions, and the only code that imports `cryptography`."""
