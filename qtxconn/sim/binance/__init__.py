"""The Binance USD-M futures dialect of the venue, written from the wire contract alone."""
