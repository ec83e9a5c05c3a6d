"""What the login function runs until `toolkit deploy-function login` gives it its code."""

import json


def handler(event: dict, context: object) -> dict:
    return {"statusCode": 503, "body": json.dumps({"error": "not deployed yet"})}
