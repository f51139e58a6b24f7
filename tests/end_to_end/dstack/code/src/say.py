import sys

print(">", sys.argv[1:], sys.prefix != sys.base_prefix)
