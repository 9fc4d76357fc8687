"""Usage reports: judged, kept byte for byte, acknowledged once, and metered by day."""
