"""The REST API's calls about alerts."""
