# SPDX-License-Identifier: Apache-2.0
"""Address ranges of a test cluster: IPv4, IPv6, or both with IPv4 first."""
import ipaddress

RANGES = {4: {"pods": "10.244.0.0/16", "services": "10.96.0.0/16", "mask": 24},
          6: {"pods": "fd44::/48", "services": "fd96::/108", "mask": 64}}
VERSIONS = {"dual": (4, 6), "ipv4": (4,), "ipv6": (6,)}


class Families:
    def __init__(self, name):
        if name not in VERSIONS:
            raise ValueError(f"address families {name!r}: must be one of {', '.join(VERSIONS)}")
        self.name, self.versions = name, VERSIONS[name]

    def ranges(self, kind):
        """kind: pods or services; comma-separated, as Kubernetes' flags take them."""
        return ",".join(RANGES[version][kind] for version in self.versions)

    def service_addresses(self, number):
        """The number-th address of each service range: 1 is the API server's, 10 the DNS's."""
        return [str(ipaddress.ip_network(RANGES[version]["services"])[number]) for version in self.versions]

    def addresses_of(self, machine):
        return [machine.ipv4 if version == 4 else machine.ipv6 for version in self.versions]

    def mask_flags(self):
        if len(self.versions) == 1:
            return [f"--node-cidr-mask-size={RANGES[self.versions[0]]['mask']}"]
        return [f"--node-cidr-mask-size-ipv{version}={RANGES[version]['mask']}" for version in self.versions]


def in_url(address):
    return f"[{address}]" if ":" in address else address
