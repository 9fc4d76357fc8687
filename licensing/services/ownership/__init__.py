"""What was bought: orders and the purchase lines they deliver."""
