"""Login: a Lambda function behind API Gateway.

The stack has the function's configuration. Its code is `toolkit deploy-function login`'s, which
publishes a version and moves the alias to it; API Gateway calls the alias.
"""

from pathlib import Path

from aws_cdk import CfnOutput, Duration, Stack
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

FIRST_CODE = Path(__file__).resolve().parents[1] / "first_code"
ALIAS = "live"


class CarRentalApiStack(Stack):
    def __init__(self, scope: Construct, id: str, *, suffix: str, token_secret: secretsmanager.ISecret) -> None:
        super().__init__(scope, id)
        api = apigateway.RestApi(
            self,
            "Api",
            rest_api_name=id,
            cloud_watch_role=False,
            default_cors_preflight_options=apigateway.CorsOptions(
                allow_origins=apigateway.Cors.ALL_ORIGINS,
                allow_methods=["POST"],
                allow_headers=["Content-Type"],
            ),
        )
        login = apigateway.LambdaIntegration(self._login(suffix, token_secret))
        api.root.add_resource("login").add_method("POST", login)
        CfnOutput(self, "Url", value=api.url, description="The address before /login")

    def _login(self, suffix: str, token_secret: secretsmanager.ISecret) -> lambda_.Alias:
        """The alias and its first version never change here, so that a deploy of the stack leaves
        the alias where the last deploy of the function has put it.

        The template holds a reference to the secret; CloudFormation puts the value in when it
        deploys.
        """
        function = lambda_.Function(
            self,
            "LoginFunction",
            function_name=f"car-rental-login{suffix}",
            description="Issues tokens for car-rental",
            runtime=lambda_.Runtime.PYTHON_3_12,
            handler="handler.handler",
            code=lambda_.Code.from_asset(str(FIRST_CODE), exclude=["__pycache__"]),
            timeout=Duration.seconds(5),
            environment={"TOKEN_SECRET": token_secret.secret_value.unsafe_unwrap()},
        )
        first = lambda_.Version(self, "FirstVersion", lambda_=function)
        return lambda_.Alias(self, "Alias", alias_name=ALIAS, version=first)
