"""What a guide to existing images shows, as its reader writes it, and the Dockerfile of each."""

from __future__ import annotations

import pytest

import starling

PYTHON = (
    "COPY --link --from=python-{} /python/. /usr/local\n"
    "ENV TERMINFO_DIRS=/etc/terminfo:/lib/terminfo:/usr/share/terminfo:/usr/lib/terminfo:"
    "/usr/local/share/terminfo\n"
)
PIP = "RUN --mount=type=cache,target=/root/.cache/pip python -m pip install {}\n"
UV = (
    "COPY --link --from=uv-0.13.9 /uv /.uv/uv\n"
    "RUN --mount=type=cache,target=/root/.cache/uv /.uv/uv pip install --python "
    "$(command -v python) --compile-bytecode --link-mode=copy {}\n"
)
TEMPLATE = """#!/usr/bin/env bash

# Your custom startup commands here.

exec "$@" # Runs the command passed to the entrypoint script.
"""

# Name, source, and the Dockerfile of what it calls `image`.
EXAMPLES = [
    (
        "a public image",
        """
image = starling.Image.from_registry("huanjason/scikit-learn")
""",
        "FROM huanjason/scikit-learn\n",
    ),
    (
        "one more step",
        """
sklearn_image = starling.Image.from_registry("huanjason/scikit-learn")
image = sklearn_image.uv_pip_install("polars", "datasette")
""",
        "FROM huanjason/scikit-learn\n" + UV.format("datasette polars"),
    ),
    (
        "a Python on Ubuntu",
        """
image = starling.Image.from_registry("ubuntu:22.04", add_python="3.11")
""",
        "FROM ubuntu:22.04\n" + PYTHON.format("3.11"),
    ),
    (
        "a Python on another image",
        """
image = starling.Image.from_registry("gisops/valhalla:latest", add_python="3.12")
""",
        "FROM gisops/valhalla:latest\n" + PYTHON.format("3.12"),
    ),
    (
        "ECR",
        """
aws_secret = starling.Secret.from_name("my-aws-secret")
image = (
    starling.Image.from_aws_ecr(
        "000000000000.dkr.ecr.us-east-1.amazonaws.com/my-private-registry:latest",
        secret=aws_secret,
    )
    .pip_install("torch", "huggingface")
)
""",
        "FROM 000000000000.dkr.ecr.us-east-1.amazonaws.com/my-private-registry:latest\n"
        + PIP.format("huggingface torch"),
    ),
    (
        "Google's registry",
        """
image = starling.Image.from_gcp_artifact_registry(
    "us-east1-docker.pkg.dev/my-project/my-repo/my-image:my-version",
    secret=starling.Secret.from_name("my-gcp-secret"),
)
""",
        "FROM us-east1-docker.pkg.dev/my-project/my-repo/my-image:my-version\n",
    ),
    (
        "a Dockerfile",
        """
image = starling.Image.from_dockerfile("./src/Dockerfile")
""",
        "FROM ubuntu:22.04 AS build\nRUN make\nFROM scratch\nCOPY app.py /\n",
    ),
    (
        "an entrypoint",
        """
image = (
    starling.Image.debian_slim("3.12")
    .pip_install("foo")
    .entrypoint(["/usr/bin/my_entrypoint.sh"])
)
""",
        "FROM python:3.12.10-slim-bookworm\n"
        "RUN --mount=type=cache,target=/var/cache/apt,sharing=locked apt-get update && "
        "apt-get install -y gcc gfortran build-essential\n"
        + PIP.format("pip uv wheel --upgrade")
        + "RUN echo 'debconf debconf/frontend select Noninteractive' | debconf-set-selections\n"
        'CMD ["sleep","172800"]\n'
        + PIP.format("foo")
        + 'ENTRYPOINT ["/usr/bin/my_entrypoint.sh"]\n',
    ),
    (
        "an image for fast pulls",
        """
image = starling.Image.from_registry(
    "public.ecr.aws/modal/estargz-example-images:text-generation-v1-esgz"
)
""",
        "FROM public.ecr.aws/modal/estargz-example-images:text-generation-v1-esgz\n",
    ),
    (
        "a script as an entrypoint",
        """
image = (
    starling.Image.from_registry("ubuntu:22.04")
    .dockerfile_commands("COPY --chmod=755 <<'E' /usr/bin/my_entrypoint.sh", TEMPLATE + "E")
    .entrypoint(["/usr/bin/my_entrypoint.sh"])
)
""",
        "FROM ubuntu:22.04\nCOPY --chmod=755 <<'E' /usr/bin/my_entrypoint.sh\n"
        + TEMPLATE
        + 'E\nENTRYPOINT ["/usr/bin/my_entrypoint.sh"]\n',
    ),
]


@pytest.mark.parametrize(
    ("source", "dockerfile"), [e[1:] for e in EXAMPLES], ids=[e[0] for e in EXAMPLES]
)
def test_an_example_is_the_dockerfile(project, real_program, source, dockerfile):
    names = {"starling": starling, "TEMPLATE": TEMPLATE}
    exec(compile(source, "example", "exec"), names)
    assert names["image"].to_dockerfile() == dockerfile
