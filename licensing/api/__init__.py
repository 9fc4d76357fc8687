"""The REST API's calls about licenses, product instances, tokens and orders, cut by licensing's areas."""
