"""What the original study claimed, and what was tried to test it."""
