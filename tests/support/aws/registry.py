"""The registry's own HTTP interface, so that a real push works: blobs and manifests in memory.

Its calls are recorded, and can be spoiled, as `registry:GetBase`, `HeadBlob`, `GetBlob`,
`StartUpload`, `PatchUpload`, `PutUpload`, `HeadManifest`, `GetManifest` and `PutManifest`.
"""

import base64
import json
import re
from typing import TYPE_CHECKING

from tests.support.aws.ecr import INDEXES, MANIFEST, Ecr, Repository, digest_of
from tests.support.aws.wire import Answer, AwsError, AwsRequest

if TYPE_CHECKING:
    from tests.support.aws.server import Endpoint

_PATH = re.compile(
    r"/v2/(?P<name>.+?)/(?P<what>blobs/uploads|blobs|manifests)(?:/(?P<reference>[^/]*))?$"
)
_VERBS = {
    ("HEAD", "blobs"): "HeadBlob",
    ("GET", "blobs"): "GetBlob",
    ("POST", "blobs/uploads"): "StartUpload",
    ("PATCH", "blobs/uploads"): "PatchUpload",
    ("PUT", "blobs/uploads"): "PutUpload",
    ("HEAD", "manifests"): "HeadManifest",
    ("GET", "manifests"): "GetManifest",
    ("PUT", "manifests"): "PutManifest",
}


def is_ours(aws_request: AwsRequest) -> bool:
    """Whether this is for the registry."""
    return aws_request.path == "/v2" or aws_request.path.startswith("/v2/")


def understand(aws_request: AwsRequest) -> None:
    """Which of its operations it is. Raises AwsError."""
    aws_request.service = "registry"
    if aws_request.path.rstrip("/") == "/v2":
        aws_request.operation = "GetBase"
        return
    result = _PATH.match(aws_request.path)
    verb = _VERBS.get((aws_request.method, result["what"])) if result else None
    if result is None or verb is None:
        raise AwsError("UNSUPPORTED", f"{aws_request.method} {aws_request.path}", 405)
    aws_request.operation = verb
    aws_request.params = {
        "repository": result["name"],
        "reference": result["reference"] or "",
        **aws_request.query,
        "bytes": len(aws_request.body),
    }


def error(problem: AwsError) -> Answer:
    """An error as registries say it."""
    body = json.dumps({"errors": [{"code": problem.code, "message": problem.message}]}).encode()
    return Answer(problem.status, {"Content-Type": "application/json"}, body, problem.code)


def answer(endpoint: "Endpoint", aws_request: AwsRequest) -> Answer:
    """Do what is asked. Raises AwsError."""
    ecr = _signed_in(endpoint, aws_request)
    if ecr is None:
        message = error(AwsError("UNAUTHORIZED", "authentication required", 401))
        message.headers["WWW-Authenticate"] = (
            f'Basic realm="{endpoint.url}/",service="ecr.amazonaws.com"'
        )
        return message
    if aws_request.operation == "GetBase":
        return Answer(200, {"Docker-Distribution-Api-Version": "registry/2.0"})
    name, reference = aws_request.params["repository"], aws_request.params["reference"]
    repository = ecr.repositories.get(name)
    if repository is None:
        raise AwsError(
            "NAME_UNKNOWN", f"The repository with name '{name}' does not exist in the registry", 404
        )
    if aws_request.operation.endswith("Manifest"):
        return _manifest(ecr, repository, reference, aws_request)
    if aws_request.operation.endswith("Blob"):
        return _blob(repository, reference)
    return _upload(endpoint, ecr, repository, aws_request)


def _signed_in(endpoint: "Endpoint", aws_request: AwsRequest) -> Ecr | None:
    """The registry of the region whose password this is."""
    kind, _, source = aws_request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "basic":
        return None
    text = base64.b64decode(source).decode()
    registries: list[Ecr] = [endpoint.at(region, "ecr") for region in endpoint.regions("ecr")]
    return next((ecr for ecr in registries if text == f"AWS:{ecr.password}"), None)


def _blob(repository: Repository, digest: str) -> Answer:
    if digest not in repository.blobs:
        raise AwsError("BLOB_UNKNOWN", "blob unknown to registry", 404)
    content = repository.blobs[digest]
    headers = {
        "Docker-Content-Digest": digest,
        "Content-Type": "application/octet-stream",
        "Content-Length": str(len(content)),
    }
    return Answer(200, headers, content)


def _upload(
    endpoint: "Endpoint", ecr: Ecr, repository: Repository, aws_request: AwsRequest
) -> Answer:
    upload = aws_request.params["reference"]
    if aws_request.operation == "StartUpload":
        digest, origin = aws_request.query.get("mount"), aws_request.query.get("from", "")
        origins = (repository, ecr.repositories.get(origin))
        for each in origins if ecr.mounts else ():
            if each is not None and digest in each.blobs:
                repository.blobs[digest] = each.blobs[digest]
                return _made(repository, digest)
        upload = endpoint.token("upload")
        repository.uploads[upload] = aws_request.body
        if "digest" not in aws_request.query:
            return _going_on(endpoint, repository, upload)
    elif upload not in repository.uploads:
        raise AwsError("BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry", 404)
    else:
        repository.uploads[upload] += aws_request.body
        if aws_request.operation == "PatchUpload":
            return _going_on(endpoint, repository, upload)
    content, digest = repository.uploads.pop(upload), aws_request.query.get("digest", "")
    if digest_of(content) != digest:
        raise AwsError("DIGEST_INVALID", "provided digest did not match uploaded content", 400)
    repository.blobs[digest] = content
    return _made(repository, digest)


def _made(repository: Repository, digest: str) -> Answer:
    return Answer(
        201, {"Location": f"/v2/{repository.name}/blobs/{digest}", "Docker-Content-Digest": digest}
    )


def _going_on(endpoint: "Endpoint", repository: Repository, upload: str) -> Answer:
    size = len(repository.uploads[upload])
    location = f"{endpoint.url}/v2/{repository.name}/blobs/uploads/{upload}"
    return Answer(
        202, {"Location": location, "Docker-Upload-UUID": upload, "Range": f"0-{max(size - 1, 0)}"}
    )


def _manifest(ecr: Ecr, repository: Repository, reference: str, aws_request: AwsRequest) -> Answer:
    if aws_request.operation != "PutManifest":
        image = repository.found(reference)
        if image is None:
            raise AwsError("MANIFEST_UNKNOWN", "Requested image not found", 404)
        headers = {
            "Docker-Content-Digest": image.digest,
            "Content-Type": image.media_type,
            "Content-Length": str(len(image.manifest)),
        }
        return Answer(200, headers, image.manifest)
    document = json.loads(aws_request.body)
    media_type = aws_request.headers.get("content-type") or document.get("mediaType", MANIFEST)
    parts = [
        each["digest"]
        for each in [
            *document.get("layers", ()),
            *([document["config"]] if "config" in document else ()),
        ]
    ]
    if media_type in INDEXES:
        missing = [
            each["digest"]
            for each in document["manifests"]
            if each["digest"] not in repository.images
        ]
    else:
        missing = [digest for digest in parts if digest not in repository.blobs]
    if missing:
        raise AwsError("MANIFEST_BLOB_UNKNOWN", f"blob unknown to registry: {missing[0]}", 404)
    by_digest = reference.startswith("sha256:")
    if by_digest and digest_of(aws_request.body) != reference:
        raise AwsError("DIGEST_INVALID", "provided digest did not match uploaded content", 400)
    try:
        image = ecr.push(
            repository, aws_request.body, media_type, *(() if by_digest else (reference,))
        )
    except AwsError as problem:
        raise AwsError("TAG_INVALID", problem.message, 400) from None
    return Answer(
        201,
        {
            "Location": f"/v2/{repository.name}/manifests/{image.digest}",
            "Docker-Content-Digest": image.digest,
        },
    )
