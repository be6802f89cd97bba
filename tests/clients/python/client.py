"""The Python client as a program (see ../README.md): gofeatureflag-python-provider 0.x and 1.x."""

import json
import logging
import sys

from gofeatureflag_python_provider.options import GoFeatureFlagOptions
from gofeatureflag_python_provider.provider import GoFeatureFlagProvider
from openfeature import api
from openfeature.evaluation_context import EvaluationContext

logging.basicConfig(stream=sys.stderr, level=logging.INFO)


def options(command):
    common = {
        "endpoint": command["endpoint"],
        "data_flush_interval": command["flush"],
        "api_key": command.get("key"),
        "exporter_metadata": command.get("metadata") or {},
    }
    match command["mode"]:
        case "in-process":
            return GoFeatureFlagOptions(**common, wasm_pool_size=1, flag_config_poll_interval_seconds=1)
        case "remote":
            from gofeatureflag_python_provider.options import EvaluationType

            return GoFeatureFlagOptions(**common, evaluation_type=EvaluationType.REMOTE)
        case "cached":
            return GoFeatureFlagOptions(**common, reconnect_interval=1)
        case mode:
            raise ValueError(f"no mode {mode}")


class Client:
    def start(self, command):
        # Newer SDKs start providers in the background, older ones know no other way than to wait.
        ready = getattr(api, "set_provider_and_wait", api.set_provider)
        ready(GoFeatureFlagProvider(options=options(command)))
        self.client = api.get_client()
        return {}

    def evaluate(self, command):
        return {"results": [self.one(asked) for asked in command["evaluations"]]}

    def one(self, asked):
        details = getattr(self.client, f"get_{asked['type']}_details")
        context = EvaluationContext(asked["user"], asked.get("attributes") or {})
        found = details(asked["flag"], asked["default"], context)
        return {
            "flag": asked["flag"],
            "user": asked["user"],
            "value": found.value,
            "variation": found.variant,
            "reason": found.reason and str(getattr(found.reason, "value", found.reason)),
            "error": found.error_code and f"{found.error_code.value}: {found.error_message}",
        }

    def close(self, _command):
        api.shutdown()
        return {}


def main():
    client = Client()
    for line in sys.stdin:
        command = json.loads(line)
        answer = getattr(client, command["do"])(command)
        print("= " + json.dumps(answer), flush=True)
        if command["do"] == "close":
            return


main()
