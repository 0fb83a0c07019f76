"""The qtxconn command line, one file a command."""
