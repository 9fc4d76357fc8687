"""The four files of on-prem servers: read and written as streams, in constant memory. Pure."""
