"""The delivery spec: what `delivery.yaml` says about building, testing and running a service.

Every section has a sound default. Durations are seconds, sizes are mebibytes. The loader that names file, line
and key of a fault is `domain/delivery_spec_loader.py`.
"""

from collections.abc import Callable
from itertools import pairwise
from pathlib import PurePosixPath
from typing import Annotated, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from domain.canary.policy import AnalysisPolicy
from domain.destinations import Destination
from domain.lifecycle import EnvironmentName
from domain.secrets import SecretName, is_reserved
from domain.stored import STORED_CONFIG
from domain.wire import (
    AUTHORITY,
    COOKIE_NAME,
    LEAST_SECONDS,
    MAX_AUTHORITY,
    MAX_PATH,
    URL_PATH,
    file_fault,
    path_fault,
    text_fault,
)
from domain.words import words_of

MAX_STEPS = 20
MAX_EGRESS = 32
MAX_TYPES = 20
MAX_COUNT = 50
MAX_TYPE_NAME = 63
MAX_COMMAND = 4096
# Set by the engine, or by the shell whatever stands there. Other variables that the engine sets are defaults.
RESERVED_ENV = frozenset({"PATH", "HOME", "TMPDIR", "PWD", "IFS", "PPID", "DELIVERY_SHIM"})
RESERVED_SERVICE_ENV = RESERVED_ENV | {"PORT", "DELIVERY_RELEASE"}

ENTRY: Final = "entry"
"""The context in which a new spec is validated. What is stored may be older than a rule of `domain.wire`: it must stay
readable, so that it can be stopped and rolled back; the exits check it themselves."""


def _at_entry(rule: Callable[[str], str | None]) -> AfterValidator:
    """A rule that new texts must keep."""

    def check(text: str, info: ValidationInfo) -> str:
        if info.context == ENTRY and (fault := rule(text)):
            raise ValueError(fault)
        return text

    return AfterValidator(check)


Command = Annotated[str, Field(min_length=1, max_length=MAX_COMMAND), _at_entry(text_fault)]
EnvName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=128)]


def _not_of(taken: frozenset[str]) -> Callable[[str], str | None]:
    """A rule against names that would be set in vain."""

    def fault(name: str) -> str | None:
        if name not in taken:
            return None
        advice = "; write `PATH=<folder>:$PATH` before the command" if name == "PATH" else "; choose another name"
        return f"{name} is set by the engine{advice}"

    return fault


EnvValue = Annotated[str, Field(max_length=8192), _at_entry(text_fault)]


def _inside(path: str) -> str:
    """Refuse paths that leave the folder they are relative to; links are checked where files are read."""
    if path.startswith("/") or ".." in PurePosixPath(path).parts or "\0" in path:
        msg = "must be a relative path that stays inside, without '..'"
        raise ValueError(msg)
    return path


def source_path_of(text: str) -> str:
    """A folder inside a repository in its one form: `./apps//api/` is `apps/api`.

    Raises:
        ValueError: it leaves the repository, or can be no name of a folder.
    """
    if not text or not text.isprintable():
        msg = "must name a folder of the repository, in visible characters; the whole of it is ."
        raise ValueError(msg)
    if fault := file_fault(text):
        raise ValueError(fault)
    return str(PurePosixPath(_inside(text)))


InnerPath = Annotated[str, Field(min_length=1, max_length=512), AfterValidator(_inside), _at_entry(file_fault)]


def _one_or_several(value: object) -> str:
    return SEVERAL if isinstance(value, list | tuple) else ONE


ONE, SEVERAL = "[one]", "[several]"  # how they are told in faults, from which they are left out
ReportPaths = Annotated[
    Annotated[InnerPath, Tag(ONE)]
    | Annotated[tuple[InnerPath, ...], Field(min_length=1, max_length=MAX_STEPS), Tag(SEVERAL)],
    Discriminator(_one_or_several),
]
HostName = Annotated[str, Field(pattern=AUTHORITY, max_length=MAX_AUTHORITY)]
Seconds = Annotated[float, Field(gt=0, le=86400)]
Processes = Annotated[
    int | None, Field(ge=16, le=65536, description="processes and threads at once; not given: the operator's limit")
]
DiskMb = Annotated[int | None, Field(ge=16, le=1_048_576, description="MiB on disk; not given: the operator's limit")]
Limit = Annotated[
    int | None,
    Field(ge=0, le=100_000, description="more open findings of this severity stop the delivery; not given: no limit"),
]
UrlPath = Annotated[
    str, Field(pattern=r"^/", max_length=MAX_PATH, json_schema_extra={"pattern": URL_PATH}), _at_entry(path_fault)
]


def _settable(names: tuple[str, ...]) -> tuple[str, ...]:
    taken = sorted(name for name in names if is_reserved(name))
    if taken:
        msg = f"{', '.join(taken)} is set by the engine or the system; no secret has that name"
        raise ValueError(msg)
    return names


Env = Annotated[
    dict[Annotated[EnvName, _at_entry(_not_of(RESERVED_ENV))], EnvValue],
    Field(max_length=100, description="environment variables"),
]
ServiceEnv = Annotated[
    dict[Annotated[EnvName, _at_entry(_not_of(RESERVED_SERVICE_ENV))], EnvValue],
    Field(max_length=100, description="environment variables"),
]


def _type_fault(name: str) -> str | None:
    """`web` and `release` have sections of their own."""
    match name:
        case "web":
            return "web is the service; set service.command and service.replicas"
        case "release":
            return "release runs once for each deployment; set release.command"
    return None


ProcessName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$", max_length=MAX_TYPE_NAME), _at_entry(_type_fault)]
SecretNames = Annotated[tuple[SecretName, ...], Field(max_length=100), AfterValidator(_settable)]


def _dialled_fault(text: str) -> str | None:
    """Inside, the name gets an address of its own; a number has none to get."""
    try:
        asked = Destination.parse(text)
    except ValueError as error:
        return f"{text[:MAX_AUTHORITY]!r} {error}"
    literal = asked.literal
    if literal is None:
        return None
    if literal.is_loopback or literal.is_unspecified:
        return (
            f"{text!r} is the service itself: isolated code has a loopback of its own, where nothing else listens. "
            "Name the host that it is reached by from elsewhere, such as db.internal:5432; the operator allows hosts "
            "on private networks, and on the engine's own machine, with DELIVERY_SERVICE_EGRESS"
        )
    return (
        f"{text!r} must name a host, not an address: services find it by its name, and so does its certificate. "
        f"Name it in DNS and list that name, such as db.internal:{asked.port}; the operator allows private networks "
        "with DELIVERY_SERVICE_EGRESS"
    )


Egress = Annotated[
    tuple[Annotated[str, Field(max_length=MAX_AUTHORITY), _at_entry(_dialled_fault)], ...],
    Field(
        max_length=MAX_EGRESS,
        description="host:port of what isolated code connects to without a proxy, such as databases",
    ),
]


class SpecModel(BaseModel):
    """Base of all sections, frozen.

    Unknown keys are faults in a user's file, which is parsed with `extra="forbid"` (`domain/delivery_spec_loader.py`).
    In what the engine stored itself they are those of a newer version, and are left out: while one replaces the
    other, both read the same payloads and rows.
    """

    model_config = STORED_CONFIG


class SourceSpec(SpecModel):
    """What part of the repository is the service."""

    path: InnerPath = Field(default=".", description="folder of the service inside the repository")


class BuildSpec(SpecModel):
    """Commands that turn sources into something that runs. No steps: the sources are the artifact."""

    driver: Literal["auto", "process", "bubblewrap"] = Field(
        default="auto", description="what runs the steps; auto takes the best isolation there is"
    )
    steps: tuple[Command, ...] = Field(default=(), max_length=MAX_STEPS, description="shell lines, in order")
    env: Env = {}
    timeout: float = Field(default=900, gt=0, le=7200, description="seconds for all steps together")
    memory_mb: int = Field(default=2048, ge=64, le=65536, description="MiB for all processes together")
    processes: Processes = None
    disk_mb: DiskMb = None
    output: InnerPath = Field(default=".", description="folder that becomes the artifact")


class TestSpec(SpecModel):
    """How the service is tested before anything is packaged."""

    __test__ = False  # not a test class, whatever its name says

    command: Command | None = Field(default=None, description="shell line; not given: no tests are run")
    env: Env = {}
    timeout: float = Field(default=900, gt=0, le=7200, description="seconds")
    memory_mb: int = Field(default=2048, ge=64, le=65536, description="MiB for all processes together")
    processes: Processes = None
    disk_mb: DiskMb = None
    report: ReportPaths | None = Field(default=None, description="JUnit XML reports: paths, folders, globs")
    coverage: ReportPaths | None = Field(
        default=None, description="Cobertura, JaCoCo or lcov reports: paths, folders, globs"
    )
    min_coverage: float | None = Field(
        default=None, ge=0, le=100, description="percent of lines; less stops the delivery; not given: no limit"
    )
    max_failures: int | None = Field(
        default=None,
        ge=0,
        le=100_000,
        description="so many failed tests may be; more stop the delivery; not given: none, and the command says so",
    )

    @model_validator(mode="after")
    def _thresholds_have_reports(self, info: ValidationInfo) -> Self:
        """What nothing could ever be judged by is a fault; stored ones are judged when they are run."""
        needs = (
            ("max_failures", self.max_failures, "report", self.report),
            ("min_coverage", self.min_coverage, "coverage", self.coverage),
        )
        for name, limit, key, given in needs if info.context == ENTRY else ():
            missing = [*([] if self.command else ["command"]), *([] if given else [key])]
            if limit is not None and missing:
                msg = f"{name} has nothing to judge by; give {' and '.join(f'test.{each}' for each in missing)}"
                raise ValueError(msg)
        return self


class ScanSpec(SpecModel):
    """Security scans of what was built, and what of their findings stops a delivery."""

    tools: tuple[Annotated[str, Field(max_length=64)], ...] = Field(
        default=(), max_length=20, description="names of scanners; none given: all that suit the sources"
    )
    max_critical: Limit = None
    max_high: Limit = None
    max_medium: Limit = None
    max_low: Limit = None
    unfixed: Literal["count", "ignore"] = Field(
        default="count", description="whether weaknesses of dependencies that have no fixed version yet count"
    )
    timeout: float = Field(default=600, gt=0, le=7200, description="seconds for all scanners together")
    sarif: tuple[InnerPath, ...] = Field(
        default=(), max_length=20, description="reports in SARIF 2.1.0 that steps of the build wrote"
    )


class HealthSpec(SpecModel):
    """How an instance says that it can take traffic: HTTP GET, any 2xx or 3xx is healthy."""

    path: UrlPath = Field(default="/", description="path that is asked for")
    host: HostName | None = Field(default=None, description="Host of the probes; unset: the environment's own host")
    interval: float = Field(default=0.5, ge=0.05, le=60, description="seconds between probes")
    timeout: float = Field(default=2, ge=0.05, le=60, description="seconds a probe may take")
    healthy_after: int = Field(default=2, ge=1, le=20, description="successes in a row")
    unhealthy_after: int = Field(default=3, ge=1, le=20, description="failures in a row")
    startup_timeout: float = Field(default=60, ge=1, le=3600, description="seconds until first healthy")


class ServiceSpec(SpecModel):
    """What runs, and how many of it."""

    command: Command | None = Field(default=None, description="shell line; listens on 127.0.0.1:$PORT")
    replicas: int = Field(default=1, ge=1, le=MAX_COUNT, description="instances")
    env: ServiceEnv = {}
    secrets: SecretNames = Field(default=(), description="the project's secrets that it cannot run without")
    memory_mb: int = Field(default=1024, ge=16, le=65536, description="MiB for one instance")
    processes: Processes = None
    disk_mb: DiskMb = None
    egress: Egress = ()
    health: HealthSpec = HealthSpec()
    drain_timeout: float = Field(default=10, ge=0, le=600, description="seconds for requests in flight")
    timeout: float | None = Field(
        default=None,
        ge=LEAST_SECONDS,
        le=86400,
        description="seconds an answer may take as a whole; unset: as long as it likes",
    )
    idle_timeout: float = Field(
        default=300, ge=1, le=86400, description="seconds in which neither side sends anything, then an answer is cut"
    )
    stop_timeout: float = Field(default=5, ge=0, le=600, description="seconds from SIGTERM to SIGKILL")


class ReleaseSpec(SpecModel):
    """What is run once for each deployment before its instances start: migrations, as a rule."""

    command: Command | None = Field(
        default=None, description="shell line, with the service's environment, secrets and limits; not given: none"
    )
    timeout: float = Field(default=900, gt=0, le=7200, description="seconds")


class ProcessSpec(SpecModel):
    """A process type beside the service (`worker`): no port, no traffic, no health check; well is what stays alive."""

    command: Command | None = Field(
        default=None, description="shell line, with the service's environment and secrets; not given: the Procfile's"
    )
    count: int = Field(default=1, ge=0, le=MAX_COUNT, description="processes of this type; 0: none")
    memory_mb: int | None = Field(default=None, ge=16, le=65536, description="MiB for one; not given: the service's")
    stop_timeout: float | None = Field(
        default=None, ge=0, le=600, description="seconds from SIGTERM to SIGKILL; not given: the service's"
    )
    min_uptime: float = Field(
        default=10, ge=0, le=600, description="seconds it must stay up before the new version gets all of the traffic"
    )


class CanaryStep(SpecModel):
    """One step of a canary: a weight, then an optional hold, then an optional analysis."""

    weight: int = Field(ge=0, le=100, description="percent of the traffic for the new version")
    pause: Seconds | Literal["manual"] | None = Field(
        default=None, description="seconds to hold before the analysis; manual: until somebody resumes"
    )
    analyse: Seconds | None = Field(default=None, description="seconds the analysis may take")

    @model_validator(mode="after")
    def _analysis_has_traffic(self) -> Self:
        if self.weight == 0 and self.analyse is not None:
            msg = "a step of weight 0 gets no traffic that could be analysed; leave analyse out or raise the weight"
            raise ValueError(msg)
        return self


class CanarySpec(SpecModel):
    """The weights of a canary. Without steps: `canary_percentage` of the request, analysed, then everything."""

    steps: tuple[CanaryStep, ...] = Field(default=(), max_length=MAX_STEPS, description="weights must rise")

    @field_validator("steps")
    @classmethod
    def _weights_rise(cls, steps: tuple[CanaryStep, ...]) -> tuple[CanaryStep, ...]:
        weights = [step.weight for step in steps]
        if any(b <= a for a, b in pairwise(weights)):
            msg = f"weights must rise from step to step, got {weights}"
            raise ValueError(msg)
        return steps


class RampSpec(SpecModel):
    """Linear steps, each analysed for at most `interval`."""

    step_percent: int = Field(default=10, ge=1, le=100, description="percent more traffic at each step")
    interval: float = Field(default=60, gt=0, le=86400, description="seconds the analysis of a step may take")


class BlueGreenSpec(SpecModel):
    """What stands around the one switch of a blue-green rollout."""

    checks: tuple[UrlPath, ...] = Field(
        default=(), max_length=MAX_STEPS, description="paths besides the health path that must answer on the preview"
    )
    manual: bool = Field(default=False, description="hold before the switch until somebody resumes")
    analyse: Seconds | None = Field(
        default=None, description="seconds the analysis after the switch may take; needs an absolute limit in analysis"
    )


class StickySpec(SpecModel):
    """Who met the new version keeps meeting it: a cookie without a name of a version, hashed to a bucket."""

    cookie: str = Field(default="delivery-affinity", pattern=COOKIE_NAME, description="its name")
    ttl: float = Field(default=3600, ge=1, le=31_536_000, description="seconds the cookie lives")
    requests_per_user: float = Field(
        default=10, ge=1, le=10_000, description="how much wider the judge's limits get, as users are not independent"
    )


class RolloutSpec(SpecModel):
    """How traffic moves to a new version."""

    max_surge_percent: int = Field(default=25, ge=1, le=100, description="rolling: extra capacity per batch")
    scale_down_delay: float = Field(default=30, ge=0, le=3600, description="seconds the old stack is kept")
    verify_seconds: float = Field(default=2, ge=0, le=600, description="watch after the last switch")
    progress_deadline: float = Field(default=600, ge=1, le=86400, description="seconds without progress")
    canary: CanarySpec = Field(default=CanarySpec(), description="steps of the strategy canary")
    ramp: RampSpec = Field(default=RampSpec(), description="steps of the strategy ramp")
    blue_green: BlueGreenSpec = Field(default=BlueGreenSpec(), description="around the switch of blue_green")
    sticky: StickySpec | None = Field(
        default=None, description="users stay on the version they met; unset: they do not"
    )


class ProcessOverrides(SpecModel):
    """What differs of a process type in one environment."""

    count: int = Field(ge=0, le=MAX_COUNT, description="processes of this type there; 0: none")


class EnvironmentOverrides(SpecModel):
    """What differs in one environment."""

    replicas: int | None = Field(default=None, ge=1, le=MAX_COUNT, description="instances there")
    env: ServiceEnv = {}
    secrets: SecretNames = Field(default=(), description="secrets needed there besides the service's")
    egress: Egress = Field(default=(), description="host:port connected to there besides the service's")
    processes: dict[ProcessName, ProcessOverrides] = Field(
        default={}, max_length=MAX_TYPES, description="how many of each process type run there"
    )


class DeliverySpec(SpecModel):
    """The whole of `delivery.yaml`."""

    version: Literal[1] = Field(default=1, description="of this format")
    source: SourceSpec = SourceSpec()
    build: BuildSpec = BuildSpec()
    test: TestSpec = TestSpec()
    scan: ScanSpec = ScanSpec()
    service: ServiceSpec = ServiceSpec()
    release: ReleaseSpec = ReleaseSpec()
    processes: dict[ProcessName, ProcessSpec] = Field(
        default={}, max_length=MAX_TYPES, description="process types that run beside the service, by name"
    )
    rollout: RolloutSpec = RolloutSpec()
    analysis: AnalysisPolicy = Field(default=AnalysisPolicy(), description="how a canary or ramp is judged")
    environments: dict[EnvironmentName, EnvironmentOverrides] = Field(
        default={}, description="what differs in dev, staging or production"
    )

    @model_validator(mode="after")
    def _analysis_has_something_to_judge_by(self) -> Self:
        if self.rollout.blue_green.analyse is not None and not self.analysis.has_limits:
            msg = (
                "rollout.blue_green.analyse has nothing to judge by: after the switch the old version gets no traffic; "
                "set analysis.max_error_rate or analysis.max_p95_ms"
            )
            raise ValueError(msg)
        if not self.analysis.compare and not self.analysis.has_limits:
            msg = (
                "analysis has nothing to judge by: compare with the stable version, or set analysis.max_error_rate or "
                "analysis.max_p95_ms"
            )
            raise ValueError(msg)
        return self

    def service_for(self, environment: EnvironmentName) -> ServiceSpec:
        """The service section with the overrides of one environment applied."""
        over = self.environments.get(environment)
        if over is None:
            return self.service
        return self.service.model_copy(
            update={
                "replicas": over.replicas or self.service.replicas,
                "env": {**self.service.env, **over.env},
                "secrets": tuple(dict.fromkeys((*self.service.secrets, *over.secrets))),
                "egress": tuple(dict.fromkeys((*self.service.egress, *over.egress))),
            }
        )

    def processes_for(self, environment: EnvironmentName) -> dict[str, ProcessSpec]:
        """The process types that run beside the service in an environment."""
        over = self.environments.get(environment, EnvironmentOverrides()).processes
        counted = {
            name: each.model_copy(update={"count": over[name].count}) if name in over else each
            for name, each in self.processes.items()
        }
        return {name: each for name, each in counted.items() if each.count}


def faults_of(service: ServiceSpec) -> tuple[str, ...]:
    """What a stored service section says that a new one may not, as `key: fault`; it may be older than the rule."""
    try:
        ServiceSpec.model_validate(service.model_dump(exclude_unset=True), context=ENTRY)
    except ValidationError as error:
        found = error.errors(include_url=False)
        return tuple(f"{'.'.join(('service', *map(str, one['loc'])))}: {words_of(one)}" for one in found)
    return ()
