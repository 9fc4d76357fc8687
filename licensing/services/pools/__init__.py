"""The figures of licenses in Virtual Accounts: lock units, deltas, the fold, compliance, rebuilding."""
