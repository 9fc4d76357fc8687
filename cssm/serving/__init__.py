"""Between the server and Django: takes requests before a thread is needed for them, and sorts them into lanes."""
