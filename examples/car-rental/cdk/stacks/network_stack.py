"""What the other stacks stand on: the network, and the secret that login and backend share."""

from aws_cdk import Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct


class CarRentalNetworkStack(Stack):
    def __init__(self, scope: Construct, id: str) -> None:
        super().__init__(scope, id)
        self.vpc = self._network()
        self.token_secret = secretsmanager.Secret(
            self,
            "TokenSecret",
            description="Signs the tokens of car-rental",
            generate_secret_string=secretsmanager.SecretStringGenerator(password_length=64, exclude_punctuation=True),
        )

    def _network(self) -> ec2.Vpc:
        """Two public subnets. A NAT gateway would cost more than the rest; security groups keep
        visitors out.
        """
        return ec2.Vpc(
            self,
            "Vpc",
            max_azs=2,
            nat_gateways=0,
            subnet_configuration=[ec2.SubnetConfiguration(name="public", subnet_type=ec2.SubnetType.PUBLIC)],
        )
