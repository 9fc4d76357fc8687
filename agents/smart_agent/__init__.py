"""A product's Smart Agent: it registers, reports what it uses, and believes nothing that it has not verified.

As a program: `python -m agents.smart_agent --help`. As a library: `messages` builds and signs requests and reads
answers, `identity` makes keys and CSRs, `trust` checks certificate paths, `certificates` what a registration handed
out, `state` keeps it all in a folder, `client` is the agent itself and `transport` carries its messages.
"""
