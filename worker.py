"""Composition root of a worker: settings -> drivers -> activities -> Temporal workers, reconcilers.

`python -m worker --role control|build|all`: the roles have queues of their own, so that a build
never starves a rollback.
"""

import argparse
import asyncio
import hashlib
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import structlog
from temporalio.client import Client
from temporalio.worker import Interceptor, Worker

from activities.analysis import AnalysisActivities
from activities.artifacts import ArtifactActivities
from activities.attestations import AttestationActivities
from activities.build_records import BuildRecordActivities
from activities.build_slots import SEATS, BuildSlots
from activities.builds import BuildActivities
from activities.callers import CallerGuard
from activities.environments import EnvironmentActivities
from activities.instance_room import InstanceRoom
from activities.instances import InstanceActivities, InstanceStopper
from activities.instant_rollback import TakeBackActivity
from activities.probes import Prober
from activities.processes import ProcessActivities
from activities.projections import ProjectionActivities
from activities.provenance import ProvenanceGuard
from activities.recovery import InstanceRecovery
from activities.refusals import Refusals
from activities.release_commands import ReleaseCommandActivities
from activities.releases import ReleaseActivities
from activities.rescans import RescanActivities
from activities.routing import RouteWriter
from activities.scans import ScanActivities
from activities.secrets import ProjectSecrets
from activities.signatures import DecisionGuard, Signatures, StartActivities
from activities.sources import SourceActivities
from activities.test_reports import TestReports
from activities.traffic import TrafficActivities
from activities.webhooks import WebhookActivities
from activities.workspaces import BuildFolders, WorkspaceActivities
from contracts.names import BUILD_QUEUE, CONTROL_QUEUE, WEBHOOK_QUEUE
from domain.addresses import parse_networks
from domain.errors import DependencyError, TerminalError
from drivers import isolation, limits
from drivers.artifacts.folder import FolderArtifactStore
from drivers.artifacts.links import unseen
from drivers.builders.base import Builder
from drivers.builders.registry import select_builder
from drivers.clean_env import CodePath
from drivers.egress.sandboxes import Sandboxes
from drivers.metrics.prometheus import PrometheusMetrics
from drivers.metrics.registry import metric_providers
from drivers.routers.envoy.driver import EnvoyRouter
from drivers.scanners.advisories import Advisories, NoAdvisories
from drivers.scanners.dependencies import MODULE as LOCK_FILES
from drivers.scanners.dependencies import Dependencies
from drivers.scanners.mirror.advisories import MirrorAdvisories
from drivers.scanners.osv_service import OsvService
from drivers.scanners.process import ToolProcesses
from drivers.scanners.registry import MODULES as SCAN_READERS
from drivers.scanners.registry import select_scanners
from drivers.sources.git import GitSource
from drivers.targets.process import ProcessTarget
from events.delivery_attempt import Courier
from events.dispatcher import Dispatcher
from events.egress_guard import WebhookEgress
from events.retry_scheduler import RetryScheduler
from events.sender import Sender
from events.webhook_retrier import WebhookRetrier
from orchestration.connection import Connection
from orchestration.operations import Operations
from orchestration.rescans import Rescans
from orchestration.webhooks import Webhooks
from reconcilers.artifact_quota import ArtifactQuota
from reconcilers.build_logs import BuildLogRetention, InstanceLogRetention
from reconcilers.build_room import BuildRoom
from reconcilers.decision_relay import DecisionRelay
from reconcilers.environments import DesertedEnvironments
from reconcilers.event_retention import EventRetention
from reconcilers.health import EnvironmentHealth
from reconcilers.instances import MissingInstances
from reconcilers.mail_relay import MailRelay
from reconcilers.metric_rollup import MetricRollup
from reconcilers.orphaned_operations import OrphanedOperations
from reconcilers.orphaned_workflows import OrphanedWorkflows
from reconcilers.outbox_relay import OutboxRelay
from reconcilers.project_teardown import ProjectTeardown
from reconcilers.refusals import RefusalAudit
from reconcilers.rescan_schedule import RescanSchedule
from reconcilers.retention import RecordRetention
from reconcilers.routes import AppliedRoutes
from reconcilers.startup_progress import StartupProgress
from reconcilers.surplus_instances import SurplusInstances
from reconcilers.untold_vulnerabilities import UntoldVulnerabilities
from reconcilers.workspaces import OrphanedWorkspaces, RecordedWorkflows
from runtime import readiness, startup_checks, tenant_code
from runtime.caps import caps
from runtime.decision_keys import load_verifying_keys
from runtime.encryption import load_sealer
from runtime.exposition import Exposition
from runtime.internal_port import internal_port
from runtime.limited import LimitedProcesses
from runtime.logging import setup_logging
from runtime.mail import parse_server
from runtime.meter import Meter
from runtime.metrics_flush import MetricsFlush
from runtime.reconciler import Reconciler, running
from runtime.returning import NAME as SERVICES_FILE
from runtime.settings import Settings, get_settings
from runtime.telemetry import telemetry
from runtime.temporal import connect_temporal
from runtime.temporal_rotation import ClientRotation, Rotation
from runtime.tracing import traced
from storage.attestation_keys import AttestationKeys
from storage.engine import Sessions, create_engine, create_sessions
from storage.listen import Listener
from storage.metrics_store import MetricsStore
from storage.migrations import await_schema
from storage.query_meter import meter_queries
from storage.repositories import events as event_rows
from storage.repositories.project_removal import CHANNEL
from workflows.registry import WORKFLOWS, sandbox
from workflows.webhook_delivery import WebhookDeliveryWorkflow

log = structlog.get_logger("worker")

# Of the data folder: what was fetched, built and runs is some tenant's, and no other's source.
TENANTS_FOLDERS = ("workspaces", "artifacts", "instances")
# Activities of a build queue under way at once beside those that build: more than may wait for a slot, so that one of
# another organization is always taken from the queue, and seated.
BUILD_SEATS = SEATS + 50
# Longer than the longest short step, so that a stopping worker finishes what it is writing.
GRACE = timedelta(seconds=20)
WORKFLOW_TASKS = 32


def own_queue(settings: Settings) -> str:
    """The queue of the build workers that share this data folder; it stays the same over restarts."""
    place = f"{socket.gethostname()}:{settings.data_dir.resolve()}"
    return f"{BUILD_QUEUE}-{hashlib.sha256(place.encode()).hexdigest()[:12]}"


def hidden_from_builds(settings: Settings) -> tuple[Path, ...]:
    """What other people's code, which runs as our user, must not see: our data, sockets and keys, wherever they are."""
    ours = (
        settings.data_dir,
        settings.sockets_dir,
        settings.doors_dir,
        settings.jwt_private_key_file,
        settings.temporal_tls_key_file,
        settings.envoy_config_dir,
        settings.envoy_admin_socket,
    )
    return tuple(path.resolve() for path in ours if path is not None and path.exists())


def control_side(
    *,
    settings: Settings,
    sessions: Sessions,
    prober: Prober,
    prometheus: PrometheusMetrics,
    deleted: Listener,
    secrets: ProjectSecrets,
    signatures: Signatures,
) -> tuple[list[Reconciler], list[Any]]:
    """The reconcilers that use router and target, and the activities of the control queue (rollouts, records, turns).

    `deleted` rings when a project was deleted.
    """
    router = traced(
        EnvoyRouter(
            settings.envoy_config_dir or settings.data_dir / "envoy",
            settings.envoy_admin_socket or settings.sockets_dir / "envoy-admin.sock",
        ),
        "router",
    )
    most = caps(settings)
    target = ProcessTarget(
        settings.data_dir / "instances",
        FolderArtifactStore(settings.data_dir / "artifacts"),
        trusted_code=settings.effective(settings.trusted_code),
        hidden=hidden_from_builds(settings),
        sockets=settings.doors_dir,
        ways=Sandboxes(settings.egress_dir),
        ceiling=most.instance,
        use=most.use,
        path=CodePath.of(settings.code_path, trusted=settings.effective(settings.trusted_code)),
        kept_logs=settings.data_dir / "logs" / "instances",
    )
    writer = RouteWriter(sessions, router)
    target = traced(target, "target")
    stopper = InstanceStopper(sessions, target, router, writer)
    recovery = InstanceRecovery(sessions=sessions, secrets=secrets, target=target, writer=writer)
    room = InstanceRoom(most.organization, most.instance)
    instances = InstanceActivities(
        sessions=sessions,
        secrets=secrets,
        target=target,
        prober=prober,
        stopper=stopper,
        recovery=recovery,
        room=room,
    )
    processes = ProcessActivities(sessions=sessions, secrets=secrets, target=target, recovery=recovery)
    keys = AttestationKeys(load_sealer(settings))
    releases = ReleaseActivities(
        sessions, stopper, ProvenanceGuard(keys, settings.require_provenance, settings.builders)
    )
    commands = ReleaseCommandActivities(
        sessions=sessions, secrets=secrets, target=target, folders=BuildFolders(settings.data_dir), room=room
    )
    analysis = AnalysisActivities(sessions, metric_providers(router, prometheus), recovery)
    traffic = TrafficActivities(sessions=sessions, router=router, writer=writer, prober=prober, recovery=recovery)
    environments = EnvironmentActivities(sessions)
    records = BuildRecordActivities(sessions)
    reconcilers = [
        MissingInstances(sessions=sessions, target=target, writer=writer, recovery=recovery),
        SurplusInstances(sessions, target),
        DesertedEnvironments(sessions, stopper, writer),
        ProjectTeardown(sessions, stopper, writer, deleted),
        EnvironmentHealth(sessions, router),
        AppliedRoutes(sessions, router, writer),
        StartupProgress(sessions, router, settings.data_dir / "run" / SERVICES_FILE),
    ]
    return reconcilers, [
        StartActivities(sessions, signatures).check,
        ProjectionActivities(sessions).record_progress,
        AttestationActivities(sessions, keys, settings.builder).attest,
        records.record,
        records.record_failure,
        records.load,
        records.find_artifact,
        records.keep_artifact,
        environments.request_turn,
        environments.return_turn,
        environments.check_holder,
        environments.check_window,
        releases.open,
        releases.reopen,
        releases.promote,
        releases.retire,
        releases.stop,
        commands.run,
        instances.start,
        instances.await_healthy,
        instances.shrink,
        processes.start,
        processes.stop,
        analysis.analyse,
        traffic.shift,
        traffic.check_preview,
        TakeBackActivity(sessions, router, writer).take_back,
        traffic.verify,
    ]


def build_activities(
    settings: Settings,
    sessions: Sessions,
    secrets: ProjectSecrets,
    quota: ArtifactQuota,
    slots: BuildSlots,
    *,
    advisories: Advisories,
) -> list[Any]:
    """The activities of the build queues: workspace, source, build, test, package.

    Only fetching the source gets any secrets; what is built and tested gets none.
    """
    folders = BuildFolders(settings.data_dir)
    hidden = hidden_from_builds(settings)
    trusted = settings.effective(settings.trusted_code)
    path = CodePath.of(settings.code_path, trusted=trusted)

    def select(name: str) -> Builder:
        found = select_builder(
            name, trusted_code=trusted, hidden=hidden, path=path, ways=Sandboxes(settings.egress_dir)
        )
        return traced(found, "builder")

    workspaces = WorkspaceActivities(folders, own_queue(settings), slots)
    source = GitSource(
        allow_file=settings.effective(settings.allow_file_sources),
        allow_private=settings.effective(settings.allow_private_sources),
        networks=parse_networks(settings.egress_networks),
        known_hosts=settings.ssh_known_hosts,
        hidden=tuple(settings.data_dir / name for name in TENANTS_FOLDERS),
    )
    limited = LimitedProcesses(("domain.delivery_spec_loader", "activities.reports", *SCAN_READERS, LOCK_FILES))
    reports = TestReports(folders, limited, sessions)
    builds = BuildActivities(select, folders, slots, reports, caps(settings).build)
    seen = unseen(isolated=not trusted, data=hidden, shown=path.shown)
    tools = ToolProcesses(trusted=trusted, hidden=hidden, path=path, memory_mb=settings.scanner_memory_mb)
    scanners = select_scanners(
        settings.scanners,
        processes=tools,
        limited=limited,
        data=settings.scanner_data,
        others=(Dependencies(limited, advisories),),
    )
    store = traced(FolderArtifactStore(settings.data_dir / "artifacts"), "artifacts")
    artifacts = ArtifactActivities(store, folders, slots, quota, seen, isolated=not trusted)
    return [
        workspaces.open,
        workspaces.close,
        SourceActivities(
            traced(source, "git"), folders, secrets, limited, slots, reports=reports, sessions=sessions
        ).fetch,
        builds.build,
        builds.test,
        ScanActivities(scanners, folders, slots, sessions).run,
        RescanActivities(advisories, sessions).page,
        artifacts.package,
    ]


def control_worker(client: Client, activities: Sequence[Any], interceptors: Sequence[Interceptor]) -> Worker:
    """Workflows and control activities."""
    return Worker(
        client,
        task_queue=CONTROL_QUEUE,
        workflows=WORKFLOWS,
        activities=activities,
        workflow_runner=sandbox(),
        interceptors=interceptors,
        max_concurrent_activities=100,
        max_cached_workflows=500,
        # Each must be through within two seconds, or the SDK takes it for blocked: not more at once than a busy machine
        # can carry out in that time. The others wait at the server, where they may.
        max_concurrent_workflow_tasks=WORKFLOW_TASKS,
        graceful_shutdown_timeout=GRACE,
        max_heartbeat_throttle_interval=timedelta(seconds=1),
        default_heartbeat_throttle_interval=timedelta(seconds=1),
    )


def build_worker(
    client: Client, queue: str, activities: Sequence[Any], slots: int, interceptors: Sequence[Interceptor] = ()
) -> Worker:
    """Build activities of one queue; how many of them build at once is limited inside of them (`BuildSlots`)."""
    return Worker(
        client,
        task_queue=queue,
        activities=activities,
        interceptors=interceptors,
        max_concurrent_activities=BUILD_SEATS + slots,
        graceful_shutdown_timeout=GRACE,
        max_heartbeat_throttle_interval=timedelta(seconds=1),
        default_heartbeat_throttle_interval=timedelta(seconds=1),
    )


def webhook_worker(client: Client, activities: WebhookActivities, interceptors: Sequence[Interceptor]) -> Worker:
    """Retries of webhooks, on a queue of their own: strangers that do not answer must not delay a rollout."""
    return Worker(
        client,
        task_queue=WEBHOOK_QUEUE,
        workflows=[WebhookDeliveryWorkflow],
        activities=[activities.attempt],
        workflow_runner=sandbox(),
        interceptors=interceptors,
        max_concurrent_activities=100,
        max_cached_workflows=200,
        graceful_shutdown_timeout=GRACE,
    )


async def run(settings: Settings, role: str) -> None:
    """Run until SIGTERM or SIGINT; then finish what is under way, bounded by `GRACE`."""
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(telemetry(settings, service="worker"))
        meter = await _enter_metrics(stack, settings)
        rotation = Rotation(settings)
        client = await connect_temporal(settings)
        workers: list[Worker] = []
        if role in ("control", "all"):
            workers.extend(await _enter_control(stack, settings, client, meter))
        if role in ("build", "all"):
            workers.extend(await _enter_build(stack, settings, client, meter))
        await stack.enter_async_context(running(ClientRotation(rotation, partial(_hand_over, workers))))
        stack.enter_context(readiness.told(settings.worker_ready_file))
        log.info("worker.ready", role=role, queue=own_queue(settings))
        await stopping.wait()
        log.info("worker.stopping")


def _hand_over(workers: Sequence[Worker], client: Client) -> None:
    for worker in workers:
        worker.client = client


async def _enter_metrics(stack: AsyncExitStack, settings: Settings) -> Meter:
    """Counts this process's work, stores that, and shows it to Prometheus."""
    meter = Meter(settings.slow_query_ms)
    url = settings.database_url.get_secret_value()
    engine = create_engine(url, application_name="metrics", pool_size=1)
    stack.push_async_callback(engine.dispose)
    meter_queries(engine, meter)
    flush = MetricsFlush(MetricsStore(create_sessions(engine)), meter)
    await stack.enter_async_context(running(flush))
    told = Exposition("worker", meter, flush)
    await stack.enter_async_context(internal_port(settings.internal_host, settings.worker_internal_port, told))
    return meter


async def _enter_control(stack: AsyncExitStack, settings: Settings, client: Client, meter: Meter) -> list[Worker]:
    url = settings.database_url.get_secret_value()
    engine = create_engine(url, application_name="worker")
    meter_queries(engine, meter)
    stack.push_async_callback(engine.dispose)
    sessions = create_sessions(engine)
    prober = Prober(settings.ingress_host, settings.ingress_port)
    stack.push_async_callback(prober.close)
    prometheus = PrometheusMetrics(
        settings.prometheus_url,
        settings.prometheus_token.get_secret_value(),
        scope=settings.prometheus_scope,
        trusted=settings.effective(settings.trusted_code),
    )
    stack.push_async_callback(prometheus.close)
    operations = Operations(settings, Connection(settings))
    listener = Listener(url, "outbox")
    stack.push_async_callback(listener.close)
    deleted = Listener(url, CHANNEL)
    stack.push_async_callback(deleted.close)
    refusals = Refusals()
    signatures = Signatures(load_verifying_keys(settings), refusals)
    reconcilers, activities = control_side(
        settings=settings,
        sessions=sessions,
        prober=prober,
        prometheus=traced(prometheus, "prometheus"),
        deleted=deleted,
        secrets=ProjectSecrets(sessions, load_sealer(settings)),
        signatures=signatures,
    )
    guards_of_calls = [DecisionGuard(signatures), CallerGuard(sessions, refusals)]
    reconcilers += [
        OutboxRelay(sessions, operations, listener),
        DecisionRelay(sessions, operations),
        OrphanedOperations(sessions, operations),
        OrphanedWorkflows(sessions, operations),
        MetricRollup(sessions),
        RecordRetention(sessions),
        BuildRoom(sessions, settings.build_documents_mb_per_organization),
        InstanceLogRetention(settings.data_dir / "logs" / "instances", settings.log_retention_days),
        EventRetention(sessions),
        RefusalAudit(sessions, refusals),
        UntoldVulnerabilities(sessions),
        RescanSchedule(Rescans(Connection(settings)), timedelta(hours=settings.rescan_hours)),
    ]
    if settings.sends_mail:
        server = parse_server(settings.smtp_url.get_secret_value())
        reconcilers.append(MailRelay(sessions, load_sealer(settings), server, settings.mail_from))
    await stack.enter_async_context(running(*reconcilers))
    return [
        await _enter_webhooks(stack, settings, client, sessions, guards_of_calls),
        await stack.enter_async_context(control_worker(client, activities, guards_of_calls)),
    ]


async def _enter_webhooks(
    stack: AsyncExitStack,
    settings: Settings,
    client: Client,
    sessions: Sessions,
    interceptors: Sequence[Interceptor],
) -> Worker:
    """First attempts by a loop of ours, further ones by workflows."""
    sender = Sender(WebhookEgress(parse_networks(settings.egress_networks)))
    stack.push_async_callback(sender.close)
    courier = Courier(sender, load_sealer(settings))
    listener = Listener(settings.database_url.get_secret_value(), event_rows.CHANNEL)
    stack.push_async_callback(listener.close)
    failed = asyncio.Event()
    await stack.enter_async_context(running(RetryScheduler(sessions, Webhooks(Connection(settings)), failed)))
    dispatcher = Dispatcher(sessions, courier, listener, failed)
    stack.push_async_callback(_stop, asyncio.create_task(dispatcher.run()))
    activities = WebhookActivities(WebhookRetrier(sessions, courier))
    return await stack.enter_async_context(webhook_worker(client, activities, interceptors))


def select_advisories(settings: Settings) -> Advisories:
    """A mirror, a service, or none."""
    if settings.advisories_dir is not None:
        folder = settings.data_dir / "advisories"
        return MirrorAdvisories(settings.advisories_dir, folder, max_age_days=settings.advisories_max_age_days)
    if settings.advisories_url:
        private = [name.strip() for name in settings.advisories_private.split(",") if name.strip()]
        networks = parse_networks(settings.egress_networks)
        return OsvService(settings.advisories_url, networks=networks, private=private)
    return NoAdvisories()


async def _enter_build(stack: AsyncExitStack, settings: Settings, client: Client, meter: Meter) -> list[Worker]:
    slots = BuildSlots(settings.build_concurrency, settings.build_concurrency_per_organization)
    engine = create_engine(settings.database_url.get_secret_value(), application_name="builds")
    meter_queries(engine, meter)
    stack.push_async_callback(engine.dispose)
    sessions = create_sessions(engine)
    operations = Operations(settings, Connection(settings))
    store = FolderArtifactStore(settings.data_dir / "artifacts")
    quota = ArtifactQuota(sessions, store, settings.artifacts_mb_per_organization)
    refusals = Refusals()
    reconcilers = (
        OrphanedWorkspaces(BuildFolders(settings.data_dir), slots, RecordedWorkflows(sessions, operations).is_running),
        BuildLogRetention(settings.data_dir / "logs" / "operations", settings.log_retention_days),
        quota,
        RefusalAudit(sessions, refusals),
    )
    await stack.enter_async_context(running(*reconcilers))
    secrets = ProjectSecrets(sessions, load_sealer(settings))
    advisories = select_advisories(settings)
    stack.push_async_callback(advisories.close)
    activities = build_activities(settings, sessions, secrets, quota, slots, advisories=advisories)
    guarded = [CallerGuard(sessions, refusals)]
    return [
        await stack.enter_async_context(build_worker(client, queue, activities, settings.build_concurrency, guarded))
        for queue in (BUILD_QUEUE, own_queue(settings))
    ]


async def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _tell_limits(settings: Settings) -> None:
    """What limits are worth on this machine; strangers' code is what they are for."""
    trusted = settings.effective(settings.trusted_code)
    sentences = limits.missing(isolated=not trusted)
    tenant_code.tell_limits(settings, sentences)
    for sentence in sentences:
        (log.info if trusted else log.warning)("worker.limits", words=sentence)


def main() -> int:
    """Entry point; the exit status is for the shell."""
    parser = argparse.ArgumentParser(prog="worker", description=__doc__)
    parser.add_argument("--role", choices=("control", "build", "all"), default="all")
    role: str = parser.parse_args().role
    settings = get_settings()
    setup_logging(settings.log_level, service="worker")
    if found := startup_checks.faults(settings, startup_checks.WORKER):
        sys.stderr.write(startup_checks.report(found))
        return 2
    if not settings.effective(settings.trusted_code):
        try:
            isolation.check()
        except TerminalError as error:
            sys.stderr.write(f"{error}\n")
            return 2
    log.info("worker.tenant_code", code=tenant_code.meaning(settings))
    log.info("worker.caps", **caps(settings).told())
    _tell_limits(settings)
    try:
        await_schema(settings.database_url.get_secret_value(), settings.schema_wait_s)
    except DependencyError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    asyncio.run(run(settings, role))
    return 0


if __name__ == "__main__":
    sys.exit(main())
