"""The compiled core: order lifecycle, books, trading rules and connector bases."""
