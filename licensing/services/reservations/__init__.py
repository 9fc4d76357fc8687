"""License reservation for products that never speak here: request code in, authorization code out."""
