"""`python -m sioload.target`: the embedded target alone, in its own process."""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import argparse  # noqa: E402  (gevent must patch first)
import sys  # noqa: E402

from sioload.target.server import serve  # noqa: E402


def main() -> int:
    """Serve until SIGINT or SIGTERM: 0; 1 when the address can't be bound, 2 for options that can't be."""
    parser = argparse.ArgumentParser(prog="python -m sioload.target", description="sioload's embedded target")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: loopback)")
    parser.add_argument("--port", type=int, default=5000, help="0 takes a free one (default: 5000)")
    parser.add_argument("--ping-interval", type=int, default=25, help="whole seconds (default: 25)")
    parser.add_argument("--ping-timeout", type=int, default=20, help="whole seconds (default: 20)")
    args = parser.parse_args()
    try:
        serve(args.host, args.port, ping_interval=args.ping_interval, ping_timeout=args.ping_timeout)
    except ValueError as error:
        parser.error(str(error))
    except OSError as error:
        reason = str(error.strerror).partition(": (")[0]  # behind which gevent puts the address again
        print(
            f"can't listen on {args.host}:{args.port}: {reason}; choose another --port, or --host",
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
