"""Chapter 3: the run that failed."""
