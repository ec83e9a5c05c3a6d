"""`python -m car_rental`: what the container runs."""

import os
import sys

from car_rental.config import from_environment
from car_rental.server import serve


def main() -> int:
    try:
        config = from_environment(os.environ)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    if config.crash_on_start:
        print("CRASH_ON_START is set: giving up, as asked", file=sys.stderr)
        return 3
    serve(config)
    return 0


sys.exit(main())
