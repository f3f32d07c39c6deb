"""What uses it all: the command line and its tools."""
