"""Usage reports: Resource Utilization Measurement by the names of ISO/IEC 19770-4. Pure, strict, size-limited."""
