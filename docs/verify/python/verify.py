"""Verifies mandates with PyJWT. One mandate a line on stdin; a line for each on stdout.

python verify.py JWKS_FILE ISSUER AUDIENCE
"""

import base64
import json
import sys

import jwt

CLAIMS = ["iss", "aud", "sub", "act", "con", "leg", "tier", "pol", "req", "jti", "iat", "nbf", "exp", "cnf"]


def verify_mandate(mandate: str, jwks: dict, issuer: str, audience: str) -> dict:
    # One spelling only: other bits in the last letter would be the same bytes, and another text.
    for part in mandate.split("."):
        content = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
        if base64.urlsafe_b64encode(content).rstrip(b"=").decode() != part:
            raise ValueError("not canonical base64url")
    header = jwt.get_unverified_header(mandate)
    if set(header) != {"alg", "kid", "typ"} or header["typ"] != "poa+jwt":
        raise ValueError("unknown header")
    keys = [key for key in jwks["keys"] if key["kid"] == header["kid"]]
    if len(keys) != 1:
        raise ValueError("unknown key")
    claims = jwt.decode(
        mandate,
        jwt.PyJWK(keys[0], algorithm="EdDSA").key,
        algorithms=["EdDSA"],  # never what the header says
        issuer=issuer,
        audience=audience,
        leeway=5,
        options={"require": CLAIMS},
    )
    if claims["aud"] != audience:
        raise ValueError("aud is not one text")
    # Whoever brings it must hold the key that cnf names (RFC 8705, RFC 9449), and it works once: keep each jti.
    return claims


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        JWKS = json.load(file)
    for line in sys.stdin.buffer.read().decode().split("\n")[:-1]:
        try:
            found = verify_mandate(line, JWKS, sys.argv[2], sys.argv[3])
            print("valid", found["sub"], found["act"])
        except Exception as error:  # whatever it is, it is no mandate
            print("refused", str(error).replace("\n", " "))
