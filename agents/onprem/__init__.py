"""An on-prem license server: products register to it, and it exchanges signed files with the portal.

As a program: `python -m agents.onprem --help`. As a library: `documents` writes and reads the four files, `enrolment`
and `synchronization` are their life, `acceptance` decides what is believed, `products` answers device messages,
`folder` and `schema` keep it all.
"""
