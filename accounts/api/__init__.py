"""The REST API's calls about accounts, and what every call that needs an account stands on."""
