//! Against the EC2 double of `tests/aws/double`, with boto3 as the client that is not ours.

mod contract;
mod double;
mod many;
mod reach;
mod scenarios;
