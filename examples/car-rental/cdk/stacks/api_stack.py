"""Login: a Lambda function behind API Gateway."""

from pathlib import Path

from aws_cdk import Duration, Stack
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

LOGIN_HANDLER = Path(__file__).resolve().parents[2] / "lambda" / "login_handler"
NOT_DEPLOYED = ["test_*.py", "*.md", ".gitignore", "__pycache__"]


class CarRentalApiStack(Stack):
    def __init__(self, scope: Construct, id: str, *, token_secret: secretsmanager.ISecret) -> None:
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
        login = apigateway.LambdaIntegration(self._login_function(token_secret))
        api.root.add_resource("login").add_method("POST", login)

    def _login_function(self, token_secret: secretsmanager.ISecret) -> lambda_.Function:
        """The template holds a reference to the secret; CloudFormation puts the value in when it
        deploys.
        """
        return lambda_.Function(
            self,
            "LoginFunction",
            description="Issues tokens for car-rental",
            runtime=lambda_.Runtime.PYTHON_3_12,
            handler="handler.handler",
            code=lambda_.Code.from_asset(str(LOGIN_HANDLER), exclude=NOT_DEPLOYED),
            timeout=Duration.seconds(5),
            environment={"TOKEN_SECRET": token_secret.secret_value.unsafe_unwrap()},
        )
