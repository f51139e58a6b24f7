import os
import sys

print(
    ">",
    "app",
    sys.argv[1:],
    os.environ["GRADIO_SERVER_NAME"],
    os.environ["GRADIO_SERVER_PORT"] == os.environ["PORT_0"],
)
