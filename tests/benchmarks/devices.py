"""Products for the load: keys made once and kept, registration and authorization messages signed beforehand."""

import base64
import json
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

KEYS = Path("var/benchmark-keys.pem")
MARK = b"-----END PRIVATE KEY-----\n"
SOFTWARE_TAG = "regid.2017-05.com.cisco.C9300,v1_727af1d9-6c39-4444-b301-863f81445b72"


@dataclass
class Device:
    serial: str
    key: rsa.RSAPrivateKey
    piid: str | None = None
    id_cert_serial: str | None = None
    last: int = 0


def _new_key(_: int) -> bytes:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


_given = count()
"""A key belongs to one product only, also where several parts run on one installation."""


def make_devices(number: int, *, prefix: str) -> list[Device]:
    """Devices with keys of their own; keys are generated once and kept in `var/`."""
    places = [next(_given) for _ in range(number)]
    stored = [part + MARK for part in KEYS.read_bytes().split(MARK) if part] if KEYS.exists() else []
    if (missing := places[-1] + 1 - len(stored)) > 0:
        with ProcessPoolExecutor() as pool:
            stored += list(pool.map(_new_key, range(missing)))
        KEYS.parent.mkdir(exist_ok=True)
        KEYS.write_bytes(b"".join(stored))
    keys = [
        serialization.load_pem_private_key(stored[place], None, unsafe_skip_rsa_key_validation=True) for place in places
    ]
    return [Device(f"{prefix}{n:06}", key) for n, key in enumerate(keys) if isinstance(key, rsa.RSAPrivateKey)]


def registration(device: Device, token: str) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"C9300-24UX:{device.serial}")])
    csr = x509.CertificateSigningRequestBuilder().subject_name(name).sign(device.key, hashes.SHA256())
    pem = csr.public_bytes(serialization.Encoding.PEM).decode()
    data = {"id_token": token, "csr": pem, "software_tag_identifier": SOFTWARE_TAG}
    return _signed(device, "REGISTRATION", data)


def authorization(device: Device, entitlements: dict[str, int]) -> bytes:
    data = {"entitlements": [{"tag": tag, "count": count} for tag, count in entitlements.items()]}
    return _signed(device, "AUTHORIZATION", data)


def _signed(device: Device, request_type: str, data: dict[str, object]) -> bytes:
    device.last = max(int(time.time() * 1000), device.last + 1)
    header = {
        "version": "1.3",
        "request_type": request_type,
        "timestamp": device.last,
        "nonce": f"{device.serial}-{device.last}",
        "locale": "en_US.UTF-8",
        "sudi": {"udi_pid": "C9300-24UX", "udi_serial_number": device.serial},
        "product_instance_identifier": device.piid,
        "id_cert_serial_number": device.id_cert_serial,
        "connect_info": {
            "name": "C_agent",
            "version": "5.8.6",
            "production": True,
            "capabilities": ["UTILITY", "DLC", "AppHA", "MULTITIER", "EXPORT_2", "OK_TRY_AGAIN"],
        },
    }
    text = json.dumps({"header": header, "data": data})
    signature = device.key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
    value = base64.b64encode(signature).decode()
    return json.dumps({"request": text, "signature": {"type": "SHA256", "value": value}}).encode()


def learn(device: Device, answer: bytes) -> None:
    """Take over what a registration's answer says."""
    text = json.loads(json.loads(answer)["response"])
    device.piid = text["header"]["product_instance_identifier"]
    certificate = x509.load_pem_x509_certificate(text["data"]["id_cert"].encode())
    device.id_cert_serial = f"{certificate.serial_number:x}"
