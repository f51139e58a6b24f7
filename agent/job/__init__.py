"""ONE job in its own process. `launch` is the front door; what stands behind it, nobody else imports."""
