// The JavaScript server client as a program (see ../README.md): @openfeature/go-feature-flag-provider 0.x.
// FLAGPOST_PACKAGES is the directory with node_modules; the arguments name the package of the client and that of its SDK.

import { createRequire } from "node:module";
import { join } from "node:path";
import { serve } from "./lines.mjs";

const load = createRequire(join(process.env.FLAGPOST_PACKAGES, "package.json"));
const [provider, sdk] = process.argv.slice(2);
const { GoFeatureFlagProvider } = load(provider);
const { OpenFeature } = load(sdk);
const METHODS = { boolean: "getBooleanDetails", string: "getStringDetails", integer: "getNumberDetails", float: "getNumberDetails", object: "getObjectDetails" };
const logger = { error: console.error, warn: console.error, info() {}, debug() {} };

serve({
  async start({ endpoint, key, flush, metadata }) {
    const options = { endpoint, apiKey: key, dataFlushInterval: flush, exporterMetadata: metadata, timeout: 10000 };
    const ready = OpenFeature.setProviderAndWait ?? OpenFeature.setProvider;
    await ready.call(OpenFeature, new GoFeatureFlagProvider(options, logger));
    this.client = OpenFeature.getClient();
  },

  async evaluate({ evaluations }) {
    const results = [];
    for (const { flag, type, default: otherwise, user, attributes } of evaluations) {
      const found = await this.client[METHODS[type]](flag, otherwise, { targetingKey: user, ...attributes });
      const error = found.errorCode && `${found.errorCode}: ${found.errorMessage}`;
      results.push({ flag, user, value: found.value, variation: found.variant, reason: found.reason, error });
    }
    return { results };
  },

  async close() {
    await OpenFeature.close();
  },
});
