"""A CDK app without the CDK: a program that writes an assembly from files of its repository, so
that a test knows what changes which stack. `order.json` says which stacks are before one,
`places.json` which environment one is in, `NAME.remarks.json` what the app remarks about one.
"""

APP = """
import json, os, pathlib, sys
here = pathlib.Path(__file__).parent
ran = pathlib.Path(os.environ["HOME"]) / "ran"
with ran.open("a") as file:
    file.write("x")
if (here / "broken").exists():
    sys.exit((here / "broken").read_text() or "NameError: name 'bucket' is not defined")
out = pathlib.Path(os.environ["CDK_OUTDIR"])
out.mkdir(parents=True, exist_ok=True)
values = here.parent / "values.json"
values = json.loads(values.read_text()) if values.exists() else {}
missing = []
if (here / "lookup").exists():
    missing = [{"key": "vpc-provider:x", "provider": "vpc", "props": {}}]
def kept(name):
    path = here / name
    return json.loads(path.read_text()) if path.exists() else {}

order, places = kept("order.json"), kept("places.json")
artifacts = {}
for path in sorted(here.glob("*.stack.json")):
    name = path.name.split(".")[0]
    queue = {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": name.lower(),
        **json.loads(path.read_text()), **values.get(name, {})}}
    if (here / "unstable").exists():
        queue["Properties"]["KmsMasterKeyId"] = str(len(ran.read_text()))
    template = {"Resources": {"Queue": queue}}
    (out / f"{name}.template.json").write_text(json.dumps(template))
    artifacts[name] = {"type": "aws:cloudformation:stack",
        "environment": places.get(name, "aws://unknown-account/unknown-region"),
        "dependencies": order.get(name, []),
        "metadata": kept(f"{name}.remarks.json"),
        "properties": {"templateFile": f"{name}.template.json", "stackName": name}}
(out / "manifest.json").write_text(json.dumps(
    {"version": "48.0.0", "missing": missing, "artifacts": artifacts}))
"""

RULES = """\
version = 1
project = "shop"
environment = "dev"
[environments.dev]
account = "111111111111"
regions = ["eu-west-1"]

[targets.net]
kind = "stack"
stack = "Net"
cdk = "cdk"
estimate = "1m"

[targets.jobs]
kind = "stack"
stack = "Jobs"
cdk = "cdk"
estimate = "2m"

[targets.infra]
kind = "group"
members = ["net", "jobs"]

[[rules]]
name = "Infrastructure"
paths = ["cdk/**"]
deploy = ["infra"]

[[rules]]
name = "Values"
paths = ["values.json"]
deploy = ["net"]
"""
