"""Charts of jobs: their samples folded so that nine days are some hundred kilobytes, and what is drawn from them."""
