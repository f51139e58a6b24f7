"""What agent and server say to each other over one websocket. Pure: bytes in, events and bytes out."""
