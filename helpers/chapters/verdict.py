"""Chapter 8: every claim with its verdict."""
