"""Reference clients: they know nothing of the server's code, and the server nothing of theirs."""
