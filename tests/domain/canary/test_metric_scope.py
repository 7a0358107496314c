import pytest

from domain.canary.metric_scope import MetricsPlace, MetricsScope

PLACE = MetricsPlace("acme", "o-1", "shop", "p-1", "dev", "e-1")


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ('{organization="{{organization}}"}', (("organization", "acme"),)),
        ('{ org="t-{{organization_id}}" , p = "{{project}}",kind="app,web" }',
         (("org", "t-o-1"), ("p", "shop"), ("kind", "app,web"))),
        ('{ns="{{ project_id }}-{{environment}}"}', (("ns", "p-1-dev"),)),
        ('{ns="{{organization}}/{{project}}"}', (("ns", "acme/shop"),)),
        ('{ns="{{organization}}-{{project}}", org="{{organization}}"}', (("ns", "acme-shop"), ("org", "acme"))),
        ('{ns="{{organization_id}}-{{project}}"}', (("ns", "o-1-shop"),)),
    ],
)  # fmt: skip
def test_the_template_becomes_the_labels_of_a_place(text, labels):
    assert MetricsScope.parse(text).of(PLACE) == labels


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("organization={{organization}}", "in braces"),
        ("{}", "in braces"),
        ('{organization=~"{{organization}}"}', "only = is known"),
        ('{organization="acme"}', "tell organizations apart"),
        ('{project="{{project}}"}', "tell organizations apart"),
        ('{organization="{{tenant}}"}', "knows no {{tenant}}"),
        ('{__name__="{{organization}}"}', "not __name__"),
        ('{a="{{organization}}", a="{{project}}"}', "each label once"),
        ('{a="{{organization}}{"}', "must be text"),
        ('{ns="{{organization}}-{{project}}"}', "acme-x"),
        ('{ns="t-{{environment}}{{organization}}"}', "acme-x"),
        ('{a="{{organization}}\\n"}', "backslashes"),
    ],
)
def test_a_template_that_binds_to_nobody_is_refused(text, words):
    with pytest.raises(ValueError, match=words):
        MetricsScope.parse(text)
