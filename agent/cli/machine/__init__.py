"""This machine and its agent: what it would register, `register`, `start`, `status`, `drain`, `unregister`, `doctor`."""
