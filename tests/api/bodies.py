"""Bodies of requests that several tests send."""

CASE = {
    "name": "abc",
    "description": "d",
    "steps": [{"step_number": 1, "action": "look", "expected_result": "seen"}],
    "expected_result": "seen",
}
RESULT = {"status": "passed", "duration_ms": 1, "assertions_run": 0, "assertions_passed": 0, "assertions_failed": 0}
