"""Keys, signatures, sealed secrets and tokens: the only room that imports `cryptography`."""
