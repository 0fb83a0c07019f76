"""What qtxconn is compared with, where a package of its own does not provide it."""
