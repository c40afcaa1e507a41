# SPDX-License-Identifier: Apache-2.0
"""The Kubernetes client library, with its connections made inside the network namespace of the control plane."""
import json

import urllib3
import urllib3.connection
import urllib3.connectionpool
from kubernetes import client

from netns import entered


def connection_class(netns):
    """netns: path of a namespace file, read anew for each connection."""
    class Connection(urllib3.connection.HTTPSConnection):
        def _new_conn(self):
            with entered(netns):
                return super()._new_conn()

    class Pool(urllib3.connectionpool.HTTPSConnectionPool):
        ConnectionCls = Connection

    return Pool


def open_client(plane, user="admin"):
    """A kubernetes.client.ApiClient for a user whose certificate the cluster's authority issued."""
    settings = client.Configuration()
    settings.host = plane.server
    settings.ssl_ca_cert = plane.ca.certificate
    settings.cert_file, settings.key_file = plane.ca.path(user, "crt"), plane.ca.path(user, "key")
    api = client.ApiClient(settings)
    api.rest_client.pool_manager.pool_classes_by_scheme = {"https": connection_class(plane.machine.path)}
    return api


class Api:
    """The groups that tests use, by the library's own names: api.core.list_node(), api.apps..."""

    def __init__(self, plane, user="admin"):
        self.client = open_client(plane, user)
        self.core = client.CoreV1Api(self.client)
        self.apps = client.AppsV1Api(self.client)
        self.networking = client.NetworkingV1Api(self.client)
        self.discovery = client.DiscoveryV1Api(self.client)
        self.custom = client.CustomObjectsApi(self.client)

    def get(self, path, **query):
        """Any object or list as plain values, by its path: get("/api/v1/nodes")."""
        answer = self.client.call_api(path, "GET", query_params=list(query.items()), _preload_content=False,
                                      auth_settings=["BearerToken"])
        return json.loads(answer[0].data)
