"""Notebooks executed and the site around them."""
