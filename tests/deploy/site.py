"""Where it is verified: the cluster, the namespace, and what stands in it around the release."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from string import Template
from typing import Any, Final, NamedTuple

from click.testing import CliRunner

from cors_authz.cli.main import cli
from cors_authz.edge.clock import now_seconds
from tests.deploy.cluster import AbsentError, Cluster, ClusterError
from tests.deploy.credentials import Tokens, certificate
from tests.deploy.probes import ALLOWED, CLERK, HOST, VISITOR, Probe

RELEASE: Final = "cors-authz"
NAMESPACE: Final = "cors-verify"
HAND_NAMESPACE: Final = "cors-verify-hand"
PYTHON: Final = "/opt/cors-authz/bin/python"
SERVICE: Final = f"{RELEASE}.{NAMESPACE}.svc.cluster.local"
LOCAL: Final = f"{SERVICE}:9191"
"""Of a DaemonSet: the instance of the node that asks."""
HEADLESS: Final = f"{RELEASE}-headless.{NAMESPACE}.svc.cluster.local:9191"
_HERE: Final = Path(__file__).parent
_UPSTREAM: Final = "upstream"


class Images(NamedTuple):
    """What the pods run: the service, and a stock Envoy."""

    service: str
    envoy: str


class Answer(NamedTuple):
    """What came back for a probe: the status, its headers by their names in lower case, the body."""

    status: int
    headers: Mapping[str, str]
    body: str

    @property
    def reader(self) -> str | None:
        """The origin that may read it."""
        return self.headers.get("access-control-allow-origin") or None

    @property
    def decision(self) -> str | None:
        """The id of the decision."""
        return self.headers.get("x-cors-authz-decision-id")

    @property
    def is_stripped(self) -> bool:
        """Whether no CORS header is blank: the service can blank those of the upstream, a data plane removes them."""
        return all(value for name, value in self.headers.items() if name.startswith("access-control-"))


class Site:
    """The namespace of the verification; what it holds is made by `prepare`, and goes with `clear`.

    Raises: AbsentError, without images.
    """

    def __init__(self, cluster: Cluster, images: Images, say: Callable[[str], None]) -> None:
        if not all(images):
            raise AbsentError("name images that the cluster can pull, by --image and --envoy-image")
        self.cluster = cluster
        self.images = images
        self.say = say
        self._now = int(now_seconds())
        self._issuer = Tokens(self._now)
        self._tokens = {CLERK: self._issuer.signed("clerk"), VISITOR: self._issuer.signed("visitor")}

    def prepare(self) -> None:
        """Make the namespaces and what stands around the release anew."""
        self.clear()
        texts = {name: (_HERE / "inside" / f"{name}.py").read_text() for name in ("upstream", "ask", "load")}
        shown = certificate(SERVICE, self._now)
        self.apply(
            "objects.yaml",
            keys=self._issuer.key_set(),
            certificate=shown.certificate,
            key=shown.key,
            authority=shown.certificate,
            image=self.images.service,
            **texts,
        )
        self.apply("hand.yaml", image=self.images.service)
        self.rolled_out("daemonset/hand", HAND_NAMESPACE)
        words = ("wait", f"--namespace={NAMESPACE}", "--for=condition=Ready", "--timeout=120s")
        self.cluster.kubectl(*words, f"pod/{_UPSTREAM}")

    def envoy(self, name: str, *options: str) -> str:
        """Run a plain Envoy with the configuration that `cors-authz export envoy` prints, and give its URL."""
        configuration = exported(*options)
        self.apply("envoy.yaml", name=name, configuration=configuration, image=self.images.envoy)
        self.rolled_out(f"deployment/{name}")
        return f"http://{name}.{NAMESPACE}.svc.cluster.local"

    def rolled_out(self, name: str, namespace: str = NAMESPACE) -> None:
        """Wait until all pods of something are ready."""
        self.cluster.kubectl("rollout", "status", f"--namespace={namespace}", name, "--timeout=120s")

    def clear(self) -> None:
        """Take away the release, whose attachments may be elsewhere, and the namespaces that a `prepare` made."""
        self.cluster.helm("uninstall", RELEASE, f"--namespace={NAMESPACE}", "--ignore-not-found", "--wait")
        self.cluster.kubectl("delete", "namespace", "--selector=app.kubernetes.io/managed-by=cors-verify")

    def apply(self, file: str, **values: object) -> None:
        """Apply a file of objects, with values in its places."""
        places = {place: json.dumps(value) for place, value in values.items()}
        # Names stand within words too, so they go without quotes.
        text = Template((_HERE / file).read_text()).substitute(
            places, namespace=NAMESPACE, hand=HAND_NAMESPACE, host=HOST
        )
        self.cluster.kubectl("apply", "--server-side", "--force-conflicts", "--filename=-", text=text)

    def ask(self, url: str, probes: Sequence[Probe]) -> list[Answer]:
        """Ask once, from within the cluster."""
        return self._asked(url, probes, None, 0)

    def await_answers(self, url: str, probes: Sequence[Probe], seconds: float) -> list[Answer]:
        """Ask until the answers are as they must be, or the time is over; the last ones are given."""
        return self._asked(url, probes, [(probe.status, probe.reader) for probe in probes], seconds)

    def _asked(
        self, url: str, probes: Sequence[Probe], expected: list[tuple[int, str | None]] | None, seconds: float
    ) -> list[Answer]:
        requests = [(probe.method, probe.path, self._headers(probe)) for probe in probes]
        asked = {"url": url, "requests": requests, "expected": expected, "seconds": seconds}
        said = json.loads(self.cluster.kubectl(*_inside("ask.py", asked)))
        return [Answer(*answer) for answer in said]

    def _headers(self, probe: Probe) -> dict[str, str]:
        headers = {"Host": HOST, **probe.headers}
        for stand_in, token in self._tokens.items():
            headers = {name: value.replace(stand_in, token) for name, value in headers.items()}
        return headers

    @contextmanager
    def load(self, url: str, answers: dict[str, int]) -> Iterator[None]:
        """Ask at a pace while the block runs, and at least six hundred times; the answers are counted in the end."""
        expected = f"200 {ALLOWED}"
        asked = {"url": url, "headers": {"Host": HOST, "Origin": ALLOWED}, "expected": expected}
        process = self.cluster.start(*_inside("load.py", asked, "--stdin"))
        try:
            yield
        finally:
            said, errors = process.communicate()
        if process.returncode:
            raise ClusterError(f"the load ended: {errors}")
        answers |= json.loads(said)


def exported(*options: str) -> str:
    """Give the configuration that `cors-authz export envoy` prints for the upstream."""
    upstream = f"{_UPSTREAM}.{NAMESPACE}.svc.cluster.local:80"
    printed = CliRunner().invoke(cli, ["export", "envoy", "--upstream", upstream, *options])
    assert printed.exit_code == 0, printed.output
    return printed.output


def _inside(script: str, asked: Mapping[str, Any], *flags: str) -> tuple[str, ...]:
    words = ("exec", f"--namespace={NAMESPACE}", *flags, _UPSTREAM, "--", PYTHON, f"/inside/{script}")
    return (*words, json.dumps(asked))
