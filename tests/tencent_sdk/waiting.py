"""Waits for states: facts reach the journal a moment after they happened."""

import time

from tencentcloud.common.exception.tencent_cloud_sdk_exception import TencentCloudSDKException

PATIENCE = 90


def until(read, is_so, what):
    """Reads until it is so, and answers what was read."""
    deadline = time.monotonic() + PATIENCE
    while True:
        value = read()
        if is_so(value):
            return value
        assert time.monotonic() < deadline, f"{what}: {value}"
        time.sleep(0.2)


def permitted(call):
    """Calls, again after a second when the key has called the action too often."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return call()
        except TencentCloudSDKException as error:
            if error.code != "RequestLimitExceeded" or time.monotonic() > deadline:
                raise
            time.sleep(1)


class Patient:
    """A retry policy for clients of the SDK. The SDK's own one raises the first error although the second attempt has succeeded."""

    def send_request(self, call):
        return permitted(call)
