"""What is given to the cluster fits the chart and the kinds."""

import dataclasses

import pytest

from egret_terraform import CHART, CRDS, aws, gcp, objects

VALUES = "locals {\n  helm_values = { controller = { %s } }\n}\n"


def test_a_value_that_the_chart_has_not(module):
    assert objects.value_problems(module(VALUES % "serviceAcount = { annotations = {} }"), CHART) == [
        "local.helm_values: the chart has no value controller.serviceAcount.annotations (deploy/helm/egret/values.yaml)"
    ]
    assert objects.value_problems(module(VALUES % "serviceAccount = { annotations = {} }"), CHART) == []


def test_values_that_cannot_be_read(module):
    assert objects.value_problems(module("locals {\n  other = 1\n}\n"), CHART) == [
        "local.helm_values is empty or cannot be read"
    ]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ("cluster: {podCIDRs: 10.0.0.0/16}", "helm_values: cluster.podCIDRs: '10.0.0.0/16' is not of type 'array'"),
        ("cluster: {podCidrs: []}", "'podCidrs' was unexpected"),
    ],
)
def test_rendered_values_that_the_chart_refuses(values, sentence):
    problems = objects.rendered_problems(values, CHART)
    assert [problem for problem in problems if sentence in problem], problems


CLAIM = """
apiVersion: egret.dev/v1alpha1
kind: StaticEgressIP
metadata: {name: bank, namespace: payments}
spec:
  poolRef: {name: public}
  podSelector: {matchLabels: {app: settle}}
"""


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("kind: StaticEgressIP", "kind: StaticEgresIP", "no kind egret.dev/v1alpha1 StaticEgresIP"),
        ("podSelector", "podSelectors", "'podSelectors' was unexpected"),
        ("poolRef: {name: public}", "poolRef: public", "spec.poolRef: 'public' is not of type 'object'"),
    ],
)
def test_a_manifest_that_the_api_server_would_refuse(old, new, sentence):
    known = objects.kinds(CRDS)
    assert objects.manifest_problems(CLAIM, "claim.yaml", known) == []
    problems = objects.manifest_problems(CLAIM.replace(old, new), "claim.yaml", known)
    assert [problem for problem in problems if sentence in problem], problems


POOL = """
apiVersion: egret.dev/v1alpha1
kind: EgressPool
metadata: {name: public}
spec:
  provider: AWS
  aws: {elasticIPTags: {egret.dev/pool: public}}
  gateways: {nodeSelector: {matchLabels: {egret.dev/gateway: "true"}}}
"""


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("aws: {", "aws: {interfaceTags: {a: b}, ", "'interfaceTags' was unexpected"),
        ("egret.dev/pool: public", "egret.dev/pool: 7", "7 is not of type 'string'"),
        ("provider: AWS", "provider: Moon", "'Moon' is not one of ['L2', 'AWS'"),
    ],
)
def test_a_pool_that_the_api_server_would_refuse(old, new, sentence):
    known = objects.kinds(CRDS)
    assert objects.manifest_problems(POOL, "egress_pools.public", known) == []
    problems = objects.manifest_problems(POOL.replace(old, new), "egress_pools.public", known)
    assert [problem for problem in problems if sentence in problem], problems


def test_a_module_that_is_served_by_now():
    """AWS's section stands for one that has just come."""
    known = objects.kinds(CRDS)
    say = "set served=True in tests/terraform/egret_terraform/aws.py, so that it is checked against them"
    assert objects.served_problems(aws.MODULE, CHART, known) == [
        f"the chart has controller.aws now: {say}",
        f"the kind EgressPool has spec.aws now: {say}",
    ]
    assert objects.served_problems(dataclasses.replace(gcp.MODULE, section="moon"), CHART, known) == []
