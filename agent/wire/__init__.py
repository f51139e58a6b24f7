"""The wire between agent and server: one websocket. Pure: bytes in, events and bytes out."""
