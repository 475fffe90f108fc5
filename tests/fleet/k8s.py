"""Kubernetes: the manifests are valid by the schemas of Kubernetes."""

import pathlib
import sys

import kubernetes_validate
import yaml

FOLDER = pathlib.Path(__file__).parents[2] / "docs/deploy"
VERSION = sys.argv[2] if len(sys.argv) > 2 else "1.34"


def main():
    for path in sorted(FOLDER.glob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            kubernetes_validate.validate(document, VERSION, strict=True)
            print(f"{path.name}: {document['kind']} is valid for Kubernetes {VERSION}")


main()
