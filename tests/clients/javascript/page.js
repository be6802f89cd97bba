// The web client on a page: @openfeature/go-feature-flag-web-provider, driven by web.mjs.

import { GoFeatureFlagWebProvider } from "@openfeature/go-feature-flag-web-provider";
import { OpenFeature } from "@openfeature/web-sdk";

const METHODS = { boolean: "getBooleanDetails", string: "getStringDetails", integer: "getNumberDetails", float: "getNumberDetails", object: "getObjectDetails" };
let client;

window.client = {
  async start({ endpoint, key, flush, metadata, user }) {
    await OpenFeature.setContext(user);
    // Without apiTimeout, version 0.2.9 gives up every delivery at once, and sends the same events again and again.
    const options = { endpoint, apiKey: key, dataFlushInterval: flush, exporterMetadata: metadata, apiTimeout: 10000 };
    await OpenFeature.setProviderAndWait(new GoFeatureFlagWebProvider(options, console));
    client = OpenFeature.getClient();
  },

  async evaluate({ evaluations }) {
    const results = [];
    for (const { flag, type, default: otherwise, user, attributes } of evaluations) {
      // A page has one user at a time; a change of user asks the relay for all flags again.
      const context = { targetingKey: user, ...attributes };
      if (JSON.stringify(OpenFeature.getContext()) !== JSON.stringify(context)) await OpenFeature.setContext(context);
      const found = client[METHODS[type]](flag, otherwise);
      // Without an error it is empty here.
      const error = found.errorCode ? `${found.errorCode}: ${found.errorMessage}` : undefined;
      results.push({ flag, user, value: found.value, variation: found.variant, reason: found.reason, error });
    }
    return { results };
  },

  async track({ event, user, attributes, details }) {
    const context = { targetingKey: user, ...attributes };
    if (JSON.stringify(OpenFeature.getContext()) !== JSON.stringify(context)) await OpenFeature.setContext(context);
    client.track(event, details);
  },

  async close() {
    await OpenFeature.close();
  },
};
