"""ClientToken: a call that is repeated does nothing more."""

import pytest
from conftest import refused


def launched(net, **more):
    return net.instance(ClientToken="the-same", **more)["InstanceId"]


def test_launch_with_the_same_token_is_the_same_instance(net):
    assert launched(net) == launched(net)
    assert len(net.ec2.describe_instances()["Reservations"]) == 1


def test_launch_with_another_token_is_another_instance(net):
    assert launched(net) != net.instance(ClientToken="another")["InstanceId"]


def test_token_belongs_to_its_parameters(net):
    launched(net)
    with refused("IdempotentParameterMismatch"):
        launched(net, kind="t3.small")
    assert len(net.ec2.describe_instances()["Reservations"]) == 1


def test_interface_with_the_same_token_is_made_once(net):
    made = [
        net.ec2.create_network_interface(SubnetId=net.subnet_a, ClientToken="the-same")["NetworkInterface"]
        for _ in range(2)
    ]
    assert made[0]["NetworkInterfaceId"] == made[1]["NetworkInterfaceId"]
    assert len(net.ec2.describe_network_interfaces()["NetworkInterfaces"]) == 1


def test_token_of_a_refused_call_is_free(net):
    with refused("InvalidParameterValue"):
        launched(net, PrivateIpAddress="10.0.9.9")
    assert launched(net)


@pytest.mark.parametrize("cut", [False, True])
def test_call_that_took_effect_without_an_answer_is_repeated_safely(net, double, cut):
    double.post("fail", action="RunInstances", after=True, cut=cut)
    with pytest.raises(Exception, match="InternalError|Connection"):
        launched(net)
    launched(net)
    assert len(net.ec2.describe_instances()["Reservations"]) == 1


def test_dry_run_uses_no_token_up(net):
    with refused("DryRunOperation"):
        launched(net, DryRun=True)
    assert launched(net)


def test_reset_forgets_tokens(net, double):
    launched(net)
    double.post("reset")
    subnet = net.ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    assert net.instance(subnet, ClientToken="the-same")["InstanceId"]
