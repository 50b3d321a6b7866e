"""python -m longshore_reader --repository FOLDER --password-file FILE list | verify | restore SNAPSHOT TARGET"""

import argparse
import json
import sys

from . import FormatError, restore, verify
from .repository import Repository


def main():
    parser = argparse.ArgumentParser(prog="longshore_reader", description=__doc__)
    parser.add_argument("--repository", required=True)
    parser.add_argument("--password-file", required=True)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("list")
    verbs.add_parser("verify")
    verb = verbs.add_parser("restore")
    verb.add_argument("snapshot")
    verb.add_argument("target")
    arguments = parser.parse_args()
    with open(arguments.password_file, "rb") as file:
        password = file.read().removesuffix(b"\n")
    try:
        run(Repository(arguments.repository, password), arguments)
    except FormatError as error:
        sys.exit(f"longshore_reader: {error}")


def run(repository, arguments):
    if arguments.verb == "list":
        json.dump(repository.snapshots(), sys.stdout)
    elif arguments.verb == "verify":
        json.dump(verify.everything(repository), sys.stdout)
    else:
        found = [record for record in repository.snapshots() if record["run"] == arguments.snapshot]
        if len(found) != 1:
            raise FormatError(f"{len(found)} snapshots are {arguments.snapshot}")
        (record,) = found
        way = restore.volume if record["content"]["kind"] == "volume" else restore.tree
        way(repository, record, arguments.target)


main()
