"""REST and WebSocket clients, throttling and signing helpers; knows no exchange."""
