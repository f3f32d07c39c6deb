"""A chapter's runs and facts."""
