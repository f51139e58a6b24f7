"""Ports that a job opens for people: picked, watched, and handed to the daemon for whoever the server lets in."""
