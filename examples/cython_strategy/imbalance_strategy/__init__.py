"""A strategy on the top of the book, compiled against qtxconn."""
