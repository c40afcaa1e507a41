# SPDX-License-Identifier: Apache-2.0
"""The whole operator against a real API server: who leads, certificates, and what it says when something is wrong."""
import base64
import itertools
import signal
import subprocess
import time

import pytest

from machine import wait_for
from operators import Operator, program

NAME = "sluice-control-authorities"
NAMES = itertools.count()


@pytest.fixture
def operators(plane, space):
    """operators(N): that many replicas of one operator, started at once."""
    made = []

    def make(count=1, start=True):
        fresh = [Operator(plane, space, f"r{next(NAMES)}") for _ in range(count)]
        made.extend(fresh)
        for one in fresh if start else ():
            one.start()
        return fresh

    yield make
    for one in made:
        one.stop(kill=True)


def path(space, kind, name=""):
    group = "/apis/coordination.k8s.io/v1" if kind == "leases" else "/api/v1"
    return f"{group}/namespaces/{space}/{kind}" + (f"/{name}" if name else "")


def holder(plane, space):
    return plane.must("GET", path(space, "leases", "sluice-operator"))["spec"]["holderIdentity"]


def decoded(secret, key):
    return base64.b64decode(secret["data"][key]).decode()


def test_replicas_that_start_at_once_share_one_authority_and_one_leads(plane, space, operators):
    replicas = [one.wait_healthy() for one in operators(3)]

    leaders = [one for one in replicas if one.leads()]
    assert len(leaders) == 1
    assert holder(plane, space).startswith(leaders[0].name + "_")
    secret = plane.must("GET", path(space, "secrets", NAME))
    assert decoded(secret, "authorities.crt").count("BEGIN CERTIFICATE") == 1
    published = plane.must("GET", path(space, "configmaps", NAME))["data"]["authorities.crt"]
    assert published == decoded(secret, "authorities.crt")
    for one in replicas:
        assert_speaks_for(one, published, plane.path(f"{space}-ca.crt"))


def assert_speaks_for(operator, authorities, file):
    """Its certificate is signed by these, for the one name that agents expect, and nobody needs one to be refused."""
    with open(file, "w") as out:
        out.write(authorities)
    done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{operator.port}", "-CAfile", file, "-alpn", "h2",
                           "-verify_hostname", "sluice-operator", "-verify_return_error", "-brief"],
                          stdin=subprocess.DEVNULL, capture_output=True, errors="replace", timeout=20)
    assert done.returncode == 0 and "Verification: OK" in done.stderr + done.stdout, done.stderr


def test_leader_that_is_told_to_stop_makes_room_at_once(plane, space, operators):
    first = operators()[0].wait_healthy()
    wait_for(first.leads, 5, "the first leads")
    second = operators()[0].wait_healthy()

    begin = time.monotonic()
    assert first.stop() == 0
    wait_for(second.leads, 8, "the second leads", every=0.05)

    assert time.monotonic() - begin < 8, "an ended Lease takes 15 s"
    assert second.metric("sluice_operator_agents") == 0


def test_leader_that_is_killed_is_followed_once_its_lease_has_ended(plane, space, operators):
    first = operators()[0].wait_healthy()
    wait_for(first.leads, 5, "the first leads")
    second = operators()[0].wait_healthy()
    secret = plane.must("GET", path(space, "secrets", NAME))

    first.stop(kill=True)
    begin = time.monotonic()
    wait_for(second.leads, 30, "the second leads", every=0.05)

    assert time.monotonic() - begin > 10
    assert holder(plane, space).startswith(second.name + "_")
    assert plane.must("GET", path(space, "secrets", NAME)) == secret, "authorities outlive their leader"


def test_leader_that_was_frozen_wakes_up_as_a_follower(plane, operators):
    first = operators()[0].wait_healthy()
    wait_for(first.leads, 5, "the first leads")
    second = operators()[0].wait_healthy()

    first.process.send_signal(signal.SIGSTOP)
    wait_for(second.leads, 30, "the second leads", every=0.05)
    first.process.send_signal(signal.SIGCONT)

    wait_for(lambda: not first.leads(), 3, "the first knows", every=0.05)
    time.sleep(5)
    assert second.leads() and not first.leads()
    assert "leads no more" in first.log()


def test_secret_with_garbage_is_named_and_left_alone(plane, space, operators):
    garbage = {"metadata": {"name": NAME}, "stringData": {"authorities.crt": "no PEM", "authorities.key": "none"}}
    made = plane.must("POST", path(space, "secrets"), garbage)
    one = operators()[0]

    def told():
        status, body = one.wait_for_answer("/healthz")
        return status == 503 and f"Secret {space}/{NAME}: data.authorities.crt: " in body
    wait_for(told, 20, "the Secret named", every=0.05)

    wait_for(one.leads, 5, "it leads all the same")
    time.sleep(2)
    assert plane.must("GET", path(space, "secrets", NAME)) == made
    plane.must("DELETE", path(space, "secrets", NAME))
    one.wait_healthy()


def test_operator_outlives_its_api_server(plane, space, operators):
    """Killed for a while: it goes on serving, then finds back, and leads again."""
    one = operators()[0].wait_healthy()
    wait_for(one.leads, 5, "it leads")

    plane.kill("kube-apiserver")
    wait_for(lambda: not one.leads(), 20, "a leader that cannot renew stops", every=0.05)
    assert one.is_healthy(), "what it knows still counts"
    plane.start_server()

    wait_for(one.leads, 40, "it leads again", every=0.05)
    assert plane.must("GET", path(space, "secrets", NAME))["metadata"]["name"] == NAME


def test_port_that_is_taken_ends_the_operator(plane, space, operators):
    first = operators()[0].wait_healthy()
    second = operators(start=False)[0]
    second.port = first.port
    second.start()

    assert second.process.wait(20) == 1
    assert f"--listen: control stream: cannot listen on 127.0.0.1:{first.port}" in second.log()


@pytest.mark.parametrize("flags, told", [
    (["--listen", "4250"], "--listen"),
    (["--kubeconfig", "/nowhere.conf"], "/nowhere.conf"),
    (["--lisen", "x"], "--lisen"),
    ([], "KUBERNETES_SERVICE_HOST"),
])
def test_wrong_usage_names_the_flag(flags, told):
    done = subprocess.run([program(), *flags], capture_output=True, text=True, timeout=20, env={})

    assert done.returncode == 2 and told in done.stderr, done


def test_help_shows_examples():
    done = subprocess.run([program(), "--help"], capture_output=True, text=True, timeout=20, check=True)

    assert "sluice-operator --kubeconfig admin.conf" in done.stdout
    assert subprocess.run([program(), "--version"], capture_output=True, text=True, check=True).stdout.startswith(
        "sluice-operator ")
