"""The license service for products: the same device messages as the portal's, answered from the server's own state."""
