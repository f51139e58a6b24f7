"""`agent demo`: everything that this product promises, once, for real."""
