"""Reads what llmc wrote with other people's programs; prints what they make of it as JSON.

    read.py statement FILE...              in-toto's own protobuf bindings: the published schema, unknown fields refused
    read.py envelope FILE ALLOWED_SIGNERS  securesystemslib verifies the DSSE envelope, by the key of the first signer
    read.py schema SCHEMA FILE             a document against a JSON Schema, by jsonschema

What it imports lies in the folder that PYTHONPATH names: see tests/it/outside.rs.
"""

import json
import sys


def statement(text):
    from google.protobuf import json_format
    from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
    from in_toto_attestation.v1 import statement_pb2
    from in_toto_attestation.v1.resource_descriptor import ResourceDescriptor
    from in_toto_attestation.v1.statement import Statement

    given = json.loads(text)
    parsed = json_format.ParseDict(given, statement_pb2.Statement())
    Statement.copy_from_pb(parsed).validate()
    predicate = json_format.ParseDict(given["predicate"], provenance_pb2.Provenance())
    descriptors = list(predicate.build_definition.resolved_dependencies) + list(predicate.run_details.byproducts)
    for one in descriptors:
        ResourceDescriptor.copy_from_pb(one).validate()
        assert one.uri or one.digest or one.content, one
    # Nothing was lost on the way, but for numbers that a double can't hold.
    back = json_format.MessageToDict(predicate)
    assert json.loads(json.dumps(back), parse_int=float) == json.loads(json.dumps(given["predicate"]), parse_int=float)
    return {
        "subjects": [one.name for one in parsed.subject],
        "builder": predicate.run_details.builder.id,
        "dependencies": [one.uri for one in predicate.build_definition.resolved_dependencies],
    }


def envelope(text, signers):
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_ssh_public_key
    from securesystemslib.dsse import Envelope
    from securesystemslib.signer import SSlibKey

    words = signers.split()
    line = " ".join(words[1:3]).encode()
    public = load_ssh_public_key(line).public_bytes(Encoding.Raw, PublicFormat.Raw).hex()
    given = json.loads(text)
    # DSSE's tools name keys as they like; llmc's name is SSH's fingerprint.
    name = given["signatures"][0]["keyid"]
    parsed = Envelope.from_dict(given)
    key = SSlibKey(name, "ed25519", "ed25519", {"public": public})
    verified = sorted(parsed.verify([key], 1))
    return {"verified": verified, "payload_type": parsed.payload_type, "statement": statement(parsed.payload.decode())}


def schema(schema, document):
    import jsonschema

    errors = sorted(str(error.message) for error in jsonschema.Draft7Validator(json.loads(schema)).iter_errors(json.loads(document)))
    return {"errors": errors}


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


what, *files = sys.argv[1:]
if what == "statement":
    print(json.dumps([statement(read(file)) for file in files]))
else:
    print(json.dumps({"envelope": envelope, "schema": schema}[what](*map(read, files))))
