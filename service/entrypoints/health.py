"""Health checks of a container: ``python -m service.entrypoints.health ready|heartbeat|echo``.

``ready`` asks the API for a worker's inference, ``heartbeat`` looks at the file that a worker or a
deliverer touches, ``echo`` says C-ECHO to the listener. Status 0 means well, 1 not.
"""

import sys

from service.bootstrap.checking import beats, echoes, is_ready
from service.entrypoints.errors_told import errors_told
from service.settings import Settings

CHECKS = {"ready": is_ready, "heartbeat": beats, "echo": echoes}


def main() -> None:
    """Check what the first argument says."""
    check = CHECKS.get(" ".join(sys.argv[1:]))
    if check is None:
        sys.stderr.write(f"usage: python -m service.entrypoints.health {'|'.join(CHECKS)}\n")
        raise SystemExit(2)
    with errors_told():
        well = check(Settings.load())
    sys.stdout.write("well\n" if well else "not well\n")
    raise SystemExit(0 if well else 1)


if __name__ == "__main__":
    main()
