"""The pages of AWS that the steps name."""

_API = "https://docs.aws.amazon.com/AWSEC2/latest/APIReference/"
_GUIDE = "https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/"
_VPC = "https://docs.aws.amazon.com/vpc/latest/userguide/"
_DEVELOPER = "https://docs.aws.amazon.com/ec2/latest/devguide/"

_OTHERS = {
    "Error codes": f"{_API}errors-overview.html",
    "Pagination": f"{_API}Query-Requests.html#api-pagination",
    "Multiple IP addresses": f"{_GUIDE}MultipleIP.html",
    "Prefixes": f"{_GUIDE}ec2-prefix-eni.html",
    "IP addresses per interface": f"{_GUIDE}AvailableIpPerENI.html",
    "Elastic IP addresses": f"{_GUIDE}elastic-ip-addresses-eip.html",
    "Filtering": f"{_GUIDE}Using_Filtering.html",
    "Terminate instances": f"{_GUIDE}terminating-instances.html",
    "Stop and start": f"{_GUIDE}Stop_Start.html",
    "Connection tracking": f"{_GUIDE}security-group-connection-tracking.html",
    "Subnet sizing": f"{_VPC}subnet-sizing.html",
    "Subnet CIDR reservations": f"{_VPC}subnet-cidr-reservation.html",
    "Eventual consistency": f"{_DEVELOPER}eventual-consistency.html",
    "Idempotency": f"{_DEVELOPER}ec2-api-idempotency.html",
    "Throttling": f"{_DEVELOPER}ec2-api-throttling.html",
}


def address_of(page: str) -> str:
    """The URL of a page: one of the names above, or the name of an EC2 action or data type."""
    return _OTHERS.get(page, f"{_API}API_{page}.html")
