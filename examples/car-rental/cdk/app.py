"""The infrastructure as three stacks, so that each can be deployed without the others.

Context: `-c suffix=-prod` tells environments in one account apart, `-c image_tag=…` is the backend
image that it starts with. No stack names an account or a region and nothing is looked up, so that
this runs offline.
"""

import aws_cdk as cdk

from stacks.api_stack import CarRentalApiStack
from stacks.fargate_stack import CarRentalFargateStack
from stacks.network_stack import CarRentalNetworkStack

app = cdk.App()
suffix = app.node.try_get_context("suffix") or ""
image_tag = app.node.try_get_context("image_tag") or "latest"

network = CarRentalNetworkStack(app, f"CarRentalNetworkStack{suffix}")
CarRentalApiStack(app, f"CarRentalApiStack{suffix}", suffix=suffix, token_secret=network.token_secret)
CarRentalFargateStack(
    app,
    f"CarRentalFargateStack{suffix}",
    suffix=suffix,
    image_tag=image_tag,
    vpc=network.vpc,
    token_secret=network.token_secret,
)

cdk.Tags.of(app).add("project", "car-rental")
app.synth()
