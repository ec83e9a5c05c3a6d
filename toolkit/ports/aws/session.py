"""boto3's session, made ready for short commands: what it would do for every service of AWS, it does for those that are called."""

import os

import boto3  # type: ignore[import-untyped]
import botocore.session  # type: ignore[import-untyped]
from botocore.loaders import Loader  # type: ignore[import-untyped]

from toolkit import __version__


def session(profile: str | None, region: str | None) -> boto3.Session:
    """A session of a profile. Raises what botocore raises."""
    core = botocore.session.Session()
    also = core.get_config_variable("data_path")
    core.register_component("data_loader", _Models(extra_search_paths=also.split(os.pathsep) if also else []))
    return boto3.Session(botocore_session=core, profile_name=profile, region_name=region)


def user_agent(made: boto3.Session) -> str:
    """How AWS's logs name us. Given whole, botocore does not put it together anew for each call, which takes a tenth of the call's time."""
    return f"toolkit/{__version__} {made._session.user_agent()}"


class _Models(Loader):  # type: ignore[misc]
    """Finds the models of services."""

    def list_available_services(self, type_name: str) -> list[str]:
        """The services that have a folder. botocore looks into each of 400 for a file of the type, and again for each type; whether the
        one that is asked for has it shows when it is loaded."""
        return sorted({name for path in self.search_paths if os.path.isdir(path) for name in os.listdir(path)})
