"""What one experiment left, on disk and in memory."""
