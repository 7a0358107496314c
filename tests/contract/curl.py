"""As much of curl as docs/api.md needs, for machines without one: `python curl.py -sS -X POST URL -H ... -d ...`."""

import sys
from argparse import ArgumentParser

import httpx2


def main(arguments: list[str]) -> int:
    parser = ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("-X", dest="method", default="GET")
    parser.add_argument("-H", dest="headers", action="append", default=[])
    parser.add_argument("-d", dest="data")
    parser.add_argument("-sS", action="store_true")
    asked = parser.parse_args(arguments)
    headers = dict(line.split(": ", 1) for line in asked.headers)
    answer = httpx2.request(asked.method, asked.url, headers=headers, content=asked.data, trust_env=False, timeout=120)
    sys.stdout.write(answer.text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
