"""`python -m bench NAME [options]`: one module of this package each; `python -m bench` lists them."""

from __future__ import annotations

import importlib
import pkgutil
import sys

import bench


def main() -> int:
    names = sorted(m.name for m in pkgutil.iter_modules(bench.__path__) if not m.name.startswith("_"))
    if len(sys.argv) < 2 or sys.argv[1] not in names:
        for name in names:
            about = (importlib.import_module(f"bench.{name}").__doc__ or "").strip().splitlines()
            print(f"{name:12} {about[0] if about else ''}")
        return 0 if len(sys.argv) < 2 else 2
    name = sys.argv[1]
    sys.argv = [f"python -m bench {name}", *sys.argv[2:]]
    result: int = importlib.import_module(f"bench.{name}").main()
    return result


if __name__ == "__main__":
    sys.exit(main())
