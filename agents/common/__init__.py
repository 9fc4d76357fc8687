"""What the two programs share: errors, keys, certificate paths, signatures, files that survive a crash."""
