"""The suites that every catalog and every store must pass, against servers that nobody here wrote."""

import os
import subprocess

import boto3
from servers import BUCKET, CREDENTIALS, KEYS, ROOT


def suite(name, **environment):
    command = ["cargo", "test", "--locked", "--quiet", "--lib", name, "--", "--exact", "--ignored"]
    env = {**os.environ, **CREDENTIALS, **environment}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    said = done.stdout + done.stderr
    assert done.returncode == 0 and "1 passed" in said, said


def test_dynamodb(moto):
    suite("generator::catalog::tests::dynamodb_does_what_every_catalog_must", FIGUEIRA_TEST_DYNAMODB_URL=moto)


def test_brakes(moto):
    suite("brake::store::tests::shared::a_table_does_what_every_store_must", FIGUEIRA_TEST_DYNAMODB_URL=moto)


def test_s3(radosgw):
    suite(
        "generator::store::tests::s3::a_real_server_does_what_every_store_must",
        FIGUEIRA_TEST_S3_URL=radosgw,
        FIGUEIRA_TEST_S3_BUCKET=BUCKET,
    )


def test_encryption(moto):
    bucket = "encrypted"
    boto3.client("s3", endpoint_url=moto, region_name="us-east-1", **KEYS).create_bucket(Bucket=bucket)
    suite(
        "generator::store::tests::s3::what_is_written_is_encrypted",
        FIGUEIRA_TEST_S3_URL=moto,
        FIGUEIRA_TEST_S3_BUCKET=bucket,
    )
