# SPDX-License-Identifier: Apache-2.0
"""Certificates of a test cluster and the kubeconfig files that carry them."""
import datetime
import ipaddress
import json
import os

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = datetime.timedelta(days=1)


def write_private(path, data):
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
        out.write(data)


def pem_of_key(key):
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                             serialization.NoEncryption())


def subject(name, groups=()):
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    return x509.Name(parts + [x509.NameAttribute(NameOID.COMMON_NAME, name)])


def alternative(name):
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def write_service_account_keys(folder):
    """The pair that signs the tokens of service accounts: sa.key and sa.pub."""
    key = rsa.generate_private_key(65537, 2048)
    write_private(os.path.join(folder, "sa.key"), pem_of_key(key))
    with open(os.path.join(folder, "sa.pub"), "wb") as out:
        out.write(key.public_key().public_bytes(serialization.Encoding.PEM,
                                                serialization.PublicFormat.SubjectPublicKeyInfo))


def write_kubeconfig(path, cluster, user):
    """cluster, user: the fields of the one entry of each."""
    config = {"apiVersion": "v1", "kind": "Config", "current-context": "test",
              "clusters": [{"name": "test", "cluster": cluster}], "users": [{"name": "test", "user": user}],
              "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}]}
    write_private(path, json.dumps(config, indent=1).encode())
    return path


class Authority:
    """A certificate authority of its own folder: NAME.crt and NAME.key, and whatever it issues beside them."""

    def __init__(self, folder, name):
        self.folder, self.name = folder, name
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._subject = subject(f"test cluster {name}")
        builder = self._certificate(self._subject, self._key.public_key(), 365 * DAY)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        builder = builder.add_extension(
            x509.KeyUsage(digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False,
                          key_encipherment=False, data_encipherment=False, key_agreement=False, encipher_only=False,
                          decipher_only=False), critical=True)
        self._write(name, builder.sign(self._key, hashes.SHA256()), self._key)

    @property
    def certificate(self):
        return self.path(self.name, "crt")

    def path(self, name, kind):
        return os.path.join(self.folder, f"{name}.{kind}")

    def issue(self, file, common_name, groups=(), names=(), valid=365 * DAY):
        """For a client, and for a server where `names` (host names, addresses) are given."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._certificate(subject(common_name, groups), key.public_key(), valid)
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH] + ([ExtendedKeyUsageOID.SERVER_AUTH] if names else [])
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName([alternative(name) for name in names]), False)
        self._write(file, builder.sign(self._key, hashes.SHA256()), key)

    def _certificate(self, who, public_key, valid):
        now = datetime.datetime.utcnow()
        return (x509.CertificateBuilder().subject_name(who).issuer_name(self._subject).public_key(public_key)
                .serial_number(x509.random_serial_number())
                .not_valid_before(now - DAY).not_valid_after(now + valid))

    def _write(self, file, certificate, key):
        write_private(self.path(file, "key"), pem_of_key(key))
        with open(self.path(file, "crt"), "wb") as out:
            out.write(certificate.public_bytes(serialization.Encoding.PEM))

    def user(self, file):
        """What was issued, for a kubeconfig. It names the files, so a new certificate is taken up."""
        return {"client-certificate": self.path(file, "crt"), "client-key": self.path(file, "key")}
