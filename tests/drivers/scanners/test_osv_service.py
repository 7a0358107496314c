"""Advisories of a service with OSV's API; the service is a mock (tests/support/osv/service.py)."""

from ipaddress import ip_network

import pytest

from domain.advisories import matching
from domain.findings import Package
from drivers.scanners import osv_service
from drivers.scanners.osv_service import OsvService
from tests.domain.advisories.records import osv, package
from tests.support.osv.service import MockOsv, serving

LOOPBACK = (ip_network("127.0.0.0/8"),)
FIXED = [{"introduced": "0"}, {"fixed": "1.2.0"}]
ONE = osv("GHSA-1", FIXED, aliases=["CVE-2020-1"])
TWO = osv("GHSA-2", FIXED)


def mock(*records: dict, **more) -> MockOsv:
    told: dict[tuple[str, str], list[str]] = {}
    for each in records:
        for affected in each["affected"]:
            told.setdefault((affected["package"]["ecosystem"], affected["package"]["name"]), []).append(each["id"])
    return MockOsv(told, {each["id"]: each for each in records}, **more)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(osv_service, "WAIT_S", 0)


async def matched(service: MockOsv, *packages: Package, **more):
    asking = OsvService(service.url, networks=LOOPBACK, **more)
    try:
        return await asking.match(packages)
    finally:
        await asking.close()


async def test_findings_of_what_the_service_tells():
    async with serving(mock(ONE, TWO)) as service:
        found = await matched(service, package("1.0.0"), package("1.0.0", name="right-pad"))
    assert [each.rule for each in found.findings] == ["CVE-2020-1", "GHSA-2"]
    assert found.findings[0].fixed_versions == ("1.2.0",)
    assert (found.fault, found.notices) == (None, ())
    assert found.as_of is not None


async def test_only_names_and_versions_are_sent_and_none_that_is_private():
    async with serving(mock()) as service:
        packages = [
            package("1.0.0", hashes=("sha256:" + "0" * 64,)),
            package("2.0.0", name="@acme/secret"),
            package("v1.0.0", name="git.acme.example/x", ecosystem="Go"),
        ]
        found = await matched(service, *packages, private=["@acme/*", "git.acme.example/*"])
    assert service.asked == [
        ("/v1/querybatch", {"queries": [{"package": {"ecosystem": "npm", "name": "left-pad"}, "version": "1.0.0"}]})
    ]
    assert found.notices == ("2 packages with private names were not asked about",)


async def test_a_service_of_private_packages_alone_is_no_scan_that_was_not_done():
    async with serving(mock()) as service:
        found = await matched(service, package("1.0.0", name="@acme/secret"), private=["@acme/*"])
    assert (service.asked, found.fault, bool(found.as_of)) == ([], None, True)
    assert found.notices == ("1 packages with private names were not asked about",)


async def test_too_much_to_compare_is_a_fault(monkeypatch):
    monkeypatch.setattr(matching, "MAX_PAIRS", 3)
    async with serving(mock(osv("GHSA-1", FIXED))) as service:
        found = await matched(service, *(package(f"1.0.{n}") for n in range(5)))
    assert "not all packages were compared" in found.fault
    assert len(found.findings) == 1


async def test_pages_are_followed_and_batches_are_bounded(monkeypatch):
    monkeypatch.setattr(osv_service, "BATCH", 2)
    records = [osv(f"GHSA-{n}", FIXED) for n in range(7)]
    async with serving(mock(*records, page=3)) as service:
        found = await matched(service, package("1.0.0"), *(package("1.0.0", name=f"other-{n}") for n in range(4)))
    assert len(found.findings) == 7
    sizes = [len(asked["queries"]) for path, asked in service.asked if path == "/v1/querybatch"]
    assert sizes == [2, 2, 1, 1, 1]


async def test_pages_without_end_are_a_fault():
    service = mock(ONE)
    service.result = lambda _: {"next_page_token": "again"}
    async with serving(service):
        assert "pages" in (await matched(service, package("1.0.0"))).fault


async def test_advisories_are_asked_for_once_until_they_change():
    async with serving(mock(ONE)) as service:
        asking = OsvService(service.url, networks=LOOPBACK)
        for _ in range(2):
            await asking.match([package("1.0.0")])
        service.records["GHSA-1"] = {**ONE, "modified": "2026-11-02T00:00:00Z", "summary": "New words"}
        assert (await asking.match([package("1.0.0")])).findings[0].title == "New words"
        await asking.close()
    assert [path for path, _ in service.asked].count("/v1/vulns/GHSA-1") == 2


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_service_that_stumbles_is_asked_again(status):
    service = mock(ONE)
    answers = iter([(status, b"busy")] * 2)
    service.answer = lambda _: next(answers, None)
    async with serving(service):
        found = await matched(service, package("1.0.0"))
    assert (len(found.findings), found.fault) == (1, None)


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        ((503, b""), "it answered 503"),
        ((403, b""), "it answered 403"),
        ((302, b""), "it answered 302"),
        ((200, b"<html>"), "no JSON"),
        ((200, b"[" * 100_000), "no JSON"),
        ((200, b"[]"), "another form"),
        ((200, b"{}"), "another number"),
        ((200, b'{"results":[{"vulns":7}]}'), "another form"),
        ((200, b'{"results":[{"vulns":[{"id":7}]}]}'), "another form"),
        ((200, b'{"results":[{},{}]}'), "another number"),
        ((200, b" " * (17 << 20)), "larger than"),
    ],
)
async def test_an_answer_that_is_none_is_a_fault_in_words(answer, fault):
    service = mock(ONE)
    service.answer = lambda _: answer
    async with serving(service):
        found = await matched(service, package("1.0.0"))
    assert found.findings == ()
    assert fault in found.fault
    assert found.fault.startswith("the service of advisories has no answer: ")
    assert "127.0.0.1" not in found.fault  # a tenant reads it


@pytest.mark.parametrize(
    ("record", "fault"),
    [
        (None, "it answered 404"),
        ({"id": "GHSA-1"}, "its advisory GHSA-1 cannot be read: modified must"),
        ({**ONE, "id": "GHSA-9"}, "it answered GHSA-9 for GHSA-1"),
    ],
)
async def test_an_advisory_that_cannot_be_had_is_a_fault(record, fault):
    service = mock(ONE)
    service.records["GHSA-1"] = record
    async with serving(service):
        assert fault in (await matched(service, package("1.0.0"))).fault


async def test_an_advisory_of_another_package_is_no_finding():
    service = mock(ONE)
    service.told["npm", "right-pad"] = ["GHSA-1"]
    async with serving(service):
        found = await matched(service, package("1.0.0", name="right-pad"))
    assert (found.findings, found.notices) == ((), ("the service told of advisories of other packages: GHSA-1",))


async def test_nobody_there_and_a_place_that_is_not_allowed_are_faults():
    service = mock()
    async with serving(service):
        port = service.port
    asking = OsvService(f"http://127.0.0.1:{port}", networks=LOOPBACK)
    assert "accepts no connections" in (await asking.match([package("1.0.0")])).fault
    await asking.close()
    inside = OsvService("http://127.0.0.1:1")
    assert "DELIVERY_EGRESS_NETWORKS" in (await inside.match([package("1.0.0")])).fault
    await inside.close()


async def test_a_service_that_hangs_is_a_fault():
    service = mock(ONE)
    service.serve = hang
    async with serving(service):
        found = await matched(service, package("1.0.0"), total_s=0.3)
    assert "took longer than" in found.fault


async def hang(reader, writer):
    await reader.read()
    writer.close()
