"""Folders that are copied into buckets."""

from posixpath import basename
from posixpath import join as joined

from msgspec.structs import replace

from toolkit.init.command_words import Options
from toolkit.init.deploy_steps.context import JobContext, StepReader, shown
from toolkit.init.evidence import UNKNOWN, Evidence, SiteDeploy
from toolkit.init.steps import Step


class SiteSteps(StepReader):
    """`aws s3 sync`, `cp` and the actions that do it."""

    def __init__(self, context: JobContext) -> None:
        super().__init__(context)
        self._distributions: list[str] = []
        self.operations = {
            ("s3", "sync"): self._read_sync,
            ("s3", "cp"): self._read_copy,
            ("s3", "mv"): self._read_copy,
            ("cloudfront", "create-invalidation"): self._read_invalidation,
        }
        self.actions = {
            "jakejarvis/s3-sync-action": self._read_site_action,
            "reggionick/s3-deploy": self._read_site_action,
        }

    def completed(self, entry: Evidence) -> Evidence:
        """A site with the job's distribution, if it has just that; anything else as it is."""
        if isinstance(entry, SiteDeploy) and len(set(self._distributions)) == 1:
            return replace(entry, distribution=entry.distribution or self._distributions[0])
        return entry

    def _read_sync(self, options: Options) -> None:
        if len(options.plain) < 2 or not options.plain[1].startswith("s3://"):
            return
        self._add_site(options.plain[0], options.plain[1])

    def _read_copy(self, options: Options) -> None:
        if len(options.plain) < 2 or not options.plain[1].startswith("s3://"):
            return
        if options.has("--recursive"):
            self._add_site(options.plain[0], options.plain[1])
            return
        path = self.job.path(options.plain[0])
        if path is not None:
            target = options.plain[1]
            target = joined(target, basename(path)) if target.endswith("/") else target
            self.job.objects[target] = path

    def _add_site(self, source: str, target: str) -> None:
        if source.startswith("s3://"):
            return
        path = self.job.path(source)
        bucket, _, prefix = target.removeprefix("s3://").partition("/")
        if path is None:
            self.job.see(f"copies {source!r} into the bucket {shown(bucket)}: which folder is it?")
            return
        build = self.job.build_of(path)
        if build is None and joined(path, "index.html") not in self.job.tree:
            self.job.see(
                f"copies {path or 'the whole repository'} into the bucket {shown(bucket)}; nothing"
                " says that it is a site"
            )
            return
        folder = build.folder if build else path
        words = build.words if build else ()
        place = self.job.place()
        self.job.add(SiteDeploy(place, path or ".", bucket, prefix.strip("/"), folder, words))

    def _read_invalidation(self, options: Options) -> None:
        identifier = options.first("--distribution-id")
        if identifier and UNKNOWN not in identifier:
            self._distributions.append(identifier)

    def _read_site_action(self, step: Step) -> None:
        source = step.inputs.get("folder") or step.variables.get("SOURCE_DIR", ".")
        bucket = step.inputs.get("bucket") or step.variables.get("AWS_S3_BUCKET", UNKNOWN)
        if step.inputs.get("dist-id"):
            self._distributions.append(step.inputs["dist-id"])
        self._add_site(source, f"s3://{bucket}/{step.variables.get('DEST_DIR', '')}")
