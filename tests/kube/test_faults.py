# SPDX-License-Identifier: Apache-2.0
"""The source of objects when the API server, the way to it or our credentials fail. No change is lost or told twice, and
nothing that exists is ever told to be gone."""
import datetime
import json
import os
import shutil
import time

import pytest

import pki
from api_server import replace
from machine import wait_for
from test_watch import names


LEEWAY = 60  # seconds that the API server takes a token after its end


def refusal(code, reason, headers=None):
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": "by a test"}
    return code, headers or {}, json.dumps(body).encode()


def check_in_step(watcher, space, expected, lists=None):
    watcher.wait(lambda: names(watcher, space) == sorted(expected), f"pods {expected}")
    assert watcher.objects() == watcher.state
    if lists is not None:
        assert watcher.metrics("Pod")["lists"] == lists


def test_reset_connection_resumes_without_a_list(watch, tcp_proxy, space, pods):
    proxy = tcp_proxy()
    watcher = watch(proxy.url)
    pods.add("a")
    watcher.wait_change("upsert", "Pod", space, "a")
    for number in range(3):
        proxy.cut()
        pods.add(f"b{number}")
        watcher.wait_change("upsert", "Pod", space, f"b{number}")

    check_in_step(watcher, space, ["a", "b0", "b1", "b2"], lists=1)
    assert watcher.changes.count(("upsert", "Pod", space, "a")) == 1
    assert watcher.metrics("Pod")["restarts"]["connection"] >= 3


@pytest.mark.parametrize("size", [1, 3000, 6000, 20000])
def test_answer_cut_in_the_middle_is_asked_for_again(watch, tcp_proxy, space, pods, size):
    for number in range(20):
        pods.add(f"p{number:02}")
    proxy = tcp_proxy()
    proxy.cut_after(size)
    watcher = watch(proxy.url)

    check_in_step(watcher, space, [f"p{number:02}" for number in range(20)])
    assert watcher.metrics("Pod")["decode_errors"] == 0


def test_slow_answers_are_waited_for(watch, tcp_proxy, space, pods):
    proxy = tcp_proxy()
    proxy.delay = 0.3
    watcher = watch(proxy.url)
    pods.add("a")
    watcher.wait_change("upsert", "Pod", space, "a")

    assert watcher.metrics("Pod")["restarts"] == {}


def test_peer_that_is_gone_without_a_word_is_found(watch, tcp_proxy, space, pods):
    proxy = tcp_proxy()
    watcher = watch(proxy.url, flags=["--silence-ms", "1500"])
    pods.add("a")
    watcher.wait_change("upsert", "Pod", space, "a")
    proxy.mode = "swallow"
    pods.add("b")
    watcher.wait_restart("idle")
    proxy.mode = "pass"
    proxy.cut()  # as a restarted router would

    check_in_step(watcher, space, ["a", "b"], lists=1)


def test_silent_server_is_left_for_the_next(watch, tcp_proxy, space, pods):
    first, second = tcp_proxy(), tcp_proxy()
    watcher = watch(first.url, second.url, flags=["--silence-ms", "1500"])
    assert watcher.ask("metrics")["server"] == first.url
    first.mode = "swallow"
    pods.add("b")

    watcher.wait_change("upsert", "Pod", space, "b")
    assert watcher.ask("metrics")["server"] == second.url
    check_in_step(watcher, space, ["b"], lists=1)


def test_dead_server_is_left_for_the_next_and_back(watch, tcp_proxy, space, pods):
    first, second = tcp_proxy(), tcp_proxy()
    watcher = watch(first.url, second.url)
    first.close()
    pods.add("a")
    watcher.wait_change("upsert", "Pod", space, "a")

    metrics = watcher.ask("metrics")
    assert metrics["server"] == second.url
    assert metrics["client"]["failovers"] == 1
    check_in_step(watcher, space, ["a"], lists=1)


def test_killed_server_that_comes_back_is_resumed(watch, plane, space, pods):
    pods.add("a")
    watcher = watch()
    plane.kill("kube-apiserver")
    watcher.wait_restart("connection")
    used = watcher.cpu_seconds()
    time.sleep(2)
    assert watcher.cpu_seconds() - used < 0.5, "it must wait, not spin"
    plane.start_server()
    pods.add("b")

    check_in_step(watcher, space, ["a", "b"])
    assert watcher.changes.count(("upsert", "Pod", space, "a")) == 1
    assert not any(change[0] == "remove" and change[2] == space for change in watcher.changes)


def test_expired_version_lists_again_and_tells_the_difference(watch, plane, tcp_proxy, space, pods):
    for name in ("a", "b", "c"):
        pods.add(name)
    proxy = tcp_proxy()
    watcher = watch(proxy.url)
    proxy.target = 1  # nobody: it is cut off while its version expires
    proxy.cut()
    pods.remove("a")
    pods.label("b", app="new")
    pods.add("d")
    plane.compact()
    plane.restart_server()  # its memory of events is gone, and etcd's is compacted
    del watcher.changes[:]
    proxy.target = plane.port

    watcher.wait_restart("expired", timeout=60)
    check_in_step(watcher, space, ["b", "c", "d"], lists=2)
    assert sorted(change for change in watcher.changes if change[2] == space) == [
        ("remove", "Pod", space, "a"), ("upsert", "Pod", space, "b"), ("upsert", "Pod", space, "d")]


def test_store_put_back_to_an_older_state_is_noticed(watch, plane, space, pods):
    pods.add("a")
    plane.kill("kube-apiserver")
    plane.kill("etcd")
    shutil.copytree(plane.path("etcd"), plane.path("backup"))
    plane.start_etcd()
    plane.start_server()
    watcher = watch()
    pods.add("b")
    pods.remove("a")
    watcher.wait_change("remove", "Pod", space, "a")
    plane.kill("kube-apiserver")
    plane.kill("etcd")
    shutil.rmtree(plane.path("etcd"))
    shutil.move(plane.path("backup"), plane.path("etcd"))
    plane.start_etcd()
    plane.start_server()

    watcher.wait_restart("history", timeout=60)
    check_in_step(watcher, space, ["a"])
    pods.add("c")
    check_in_step(watcher, space, ["a", "c"])


def test_throttled_client_waits_as_long_as_it_is_told(watch, http_proxy, space, pods):
    until = time.monotonic() + 3
    refused = []

    def rule(method, path):
        if "/pods" in path and time.monotonic() < until:
            refused.append(time.monotonic())
            return refusal(429, "TooManyRequests", {"Retry-After": "1"})
        return None

    pods.add("a")
    watcher = watch(http_proxy(rule).url)

    check_in_step(watcher, space, ["a"])
    gaps = [after - before for before, after in zip(refused, refused[1:])]
    assert len(refused) >= 2 and min(gaps) >= 0.95, gaps
    assert watcher.metrics("Pod")["restarts"]["throttled"] == len(refused)


def test_server_errors_are_waited_out(watch, http_proxy, space, pods):
    state = {"bad": True}
    proxy = http_proxy(lambda method, path: refusal(500, "InternalError") if state["bad"] and "/pods" in path else None)
    pods.add("a")
    watcher = watch(proxy.url, synced=False)
    watcher.wait_restart("server-error")
    assert "500 InternalError: by a test" in watcher.metrics("Pod")["last_error"]
    state["bad"] = False

    watcher.wait_synced()
    check_in_step(watcher, space, ["a"], lists=1)


def test_server_errors_of_a_watch_keep_its_place(watch, http_proxy, space, pods):
    state = {"bad": False}
    proxy = http_proxy(lambda method, path: refusal(503, "ServiceUnavailable") if state["bad"] else None)
    watcher = watch(proxy.url, flags=["--watch-s", "1"])
    state["bad"] = True
    pods.add("a")
    watcher.wait_restart("server-error")
    state["bad"] = False

    check_in_step(watcher, space, ["a"], lists=1)


def test_expired_token_is_replaced_from_its_file(watch, plane, space, pods, token):
    replace(plane.path("token"), token(5 - LEEWAY))
    watcher = watch(user={"tokenFile": "token"}, flags=["--watch-s", "1"])
    watcher.wait_restart("unauthorized", timeout=60)
    pods.add("a")
    replace(plane.path("token"), token(600))

    check_in_step(watcher, space, ["a"], lists=1)
    assert watcher.ask("metrics")["client"]["credential_reloads"] == 1


def test_expired_client_certificate_is_replaced_from_its_files(watch, plane, space, pods):
    def issue(seconds):
        plane.ca.issue("next", "short", groups=["system:masters"], valid=datetime.timedelta(seconds=seconds))
        for kind in ("key", "crt"):
            os.rename(plane.ca.path("next", kind), plane.ca.path("short", kind))

    issue(4)
    watcher = watch(user=plane.ca.user("short"), flags=["--watch-s", "1"])
    watcher.wait_restart("unauthorized", timeout=60)
    pods.add("a")
    issue(600)

    check_in_step(watcher, space, ["a"], lists=1)


def test_expired_server_certificate_is_refused(watch, plane, http_proxy):
    plane.ca.issue("old", "kube-apiserver", names=["127.0.0.1"], valid=datetime.timedelta(minutes=-1))
    proxy = http_proxy(certificate="old")
    watcher = watch(proxy.url, synced=False)

    watcher.wait_restart("connection")
    assert "certificate has expired" in watcher.metrics("Pod")["last_error"]
    assert proxy.seen == [] and not watcher.synced


def test_server_of_another_authority_is_refused(watch, plane):
    other = pki.Authority(plane.dir, "other")
    watcher = watch(synced=False, **{"certificate-authority": other.certificate})

    watcher.wait_restart("connection")
    assert "certificate" in watcher.metrics("Pod")["last_error"]


def test_server_of_another_name_is_refused_and_the_right_name_is_taken(watch):
    wrong = watch(synced=False, **{"tls-server-name": "example.org"})
    wrong.wait_restart("connection")
    assert "example.org" in wrong.metrics("Pod")["last_error"]

    watch(**{"tls-server-name": "kubernetes"})


def test_missing_permission_is_named(watch, plane):
    plane.ca.issue("nobody", "nobody", groups=["nothing"])
    watcher = watch(user=plane.ca.user("nobody"), synced=False)

    watcher.wait_restart("forbidden")
    assert 'User "nobody" cannot list resource "pods"' in watcher.metrics("Pod")["last_error"]
    assert not watcher.synced


def test_write_whose_answer_is_lost_is_not_done_twice(watch, plane, http_proxy, space):
    drop = {"now": True}
    proxy = http_proxy(lambda method, path: "drop" if method == "POST" and drop["now"] else None)
    watcher = watch(proxy.url)
    path = f"/api/v1/namespaces/{space}/configmaps"
    lost = watcher.request("POST", path, "application/json", {"metadata": {"generateName": "c-"}})

    assert "may have done it all the same" in lost["error"]
    assert proxy.count("POST", "/configmaps") == 1
    assert len([one for one in plane.must("GET", path)["items"] if one["metadata"]["name"].startswith("c-")]) == 1


def test_write_is_done_once_the_server_is_back(watch, plane, tcp_proxy, space):
    proxy = tcp_proxy()
    watcher = watch(proxy.url)
    proxy.target = 1
    proxy.cut()
    path = f"/api/v1/namespaces/{space}/configmaps"
    watcher.send(f'request POST {path} application/json {json.dumps({"metadata": {"name": "c"}})}')
    wait_for(lambda: proxy.accepted > 3, 20, "tries")
    proxy.target = plane.port

    answer = watcher.answer()
    assert answer.get("status") == 201 or "may have done it" in answer["error"], answer


def test_object_that_the_server_holds_but_we_cannot_read_is_named(watch, plane, space, pods):
    pods.add("a")
    pods.add("b")
    watcher = watch()
    plane.patch(f"{pods.path}/a/status", {"status": {"podIP": "127.0.0.9", "podIPs": [{"ip": "127.0.0.9"}]}})
    pods.label("b", app="x")
    watcher.wait(lambda: watcher.state["Pod", space, "b"]["labels"] == {"app": "x"}, "the next event")

    metrics = watcher.metrics("Pod")
    assert metrics["decode_errors"] == 1
    assert any(f"Pod {space}/a: status.podIPs[0].ip: \"127.0.0.9\" cannot be" in text for text in metrics["problems"])
    assert watcher.state["Pod", space, "a"]["addresses"] == []
    assert os.path.exists(watcher.log_path) and f"{space}/a" in watcher.log()
