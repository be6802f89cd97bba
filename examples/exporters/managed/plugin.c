// A custom exporter for flagpost on the full contract: POSTs each batch, which comes as a JSON array, to an API that wants a key.
//
// Build: `flagpost plugin build`. Configuration: `config: { endpoint: "https://…", key: "…" }` and the endpoint in `allowedHosts`.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "flagpost.h" // With plugin.h, the contract, in build/flagpost; `flagpost plugin build` puts them there.

// What the operator may write below `config:`. The relay checks it and points at the line that does not fit.
static const char *schema =
    "{\"type\":\"object\",\"required\":[\"endpoint\"],\"additionalProperties\":false,\"properties\":{"
    "\"endpoint\":{\"type\":\"string\",\"description\":\"Where events are sent.\"},"
    "\"key\":{\"type\":\"string\",\"description\":\"Sent as a bearer token.\"}}}";

static char *url, *key;

// Asked once, in an instance of its own, with nothing granted. What stays zero is the relay's own choice: both kinds, its own limits.
void exports_flagpost_plugin_managed_exporter_describe(descriptor_t *descriptor) {
    memset(descriptor, 0, sizeof *descriptor);
    plugin_string_dup(&descriptor->name, "post-json");
    plugin_string_dup(&descriptor->version, "0.1.0");
    plugin_string_dup(&descriptor->config_schema, schema);
    descriptor->encoding = EXPORTS_FLAGPOST_PLUGIN_MANAGED_EXPORTER_ENCODING_JSON_ARRAY;
}

// Called once in each instance, before anything below. Complaints are for what can never work; whether the API answers is for `export`.
bool exports_flagpost_plugin_managed_exporter_configure(plugin_string_t *config, diagnostics_t *diagnostics) {
    url = flagpost_setting_in(*config, "endpoint");
    key = flagpost_setting_in(*config, "key");
    plugin_string_free(config); // Ours to free.
    if (url && (!strncmp(url, "https://", 8) || !strncmp(url, "http://", 7))) return true;
    return flagpost_complain(diagnostics, "endpoint", "expected an address that begins with https:// or http://");
}

// Batches, not single events.
bool exports_flagpost_plugin_managed_exporter_is_bulk(void) { return true; }

// What the API said, as an answer to the relay.
static bool judge(const flagpost_plugin_http_response_t *reply, error_t *error) {
    unsigned status = reply->status;
    char text[64];
    if (status < 300) return true;
    if (status == 401 || status == 403) {
        snprintf(text, sizeof text, "HTTP %u: is config.key right?", status);
        return flagpost_misconfigured(error, text);
    }
    snprintf(text, sizeof text, "HTTP %u", status);
    if (status == 408 || status == 429 || status >= 500) return flagpost_retryable(error, text, flagpost_retry_after(reply));
    text_t why = {0};
    text_put(&why, text);
    text_put(&why, ": ");
    text_add(&why, reply->body.ptr, reply->body.len);
    text_add(&why, "", 1);
    flagpost_rejected(error, why.ptr);
    free(why.ptr);
    return false;
}

// true means: these events are safe at the API. Everything else says what the relay is to do with them.
bool exports_flagpost_plugin_managed_exporter_export(batch_t *batch, error_t *error) {
    plugin_string_t json = batch->payload.val.json_array;
    text_t body = {.ptr = (char *)json.ptr, .len = json.len}, bearer = {0}, id = {0};
    text_add(&id, batch->id.ptr, batch->id.len);
    text_add(&id, "", 1);
    text_put(&bearer, "Bearer ");
    text_put(&bearer, key ? key : "");
    text_add(&bearer, "", 1);

    header_t headers[] = {{"content-type", "application/json"}, {"idempotency-key", id.ptr}, {"authorization", bearer.ptr}};
    flagpost_plugin_http_response_t reply;
    bool ok = flagpost_post(url, headers, key ? 3 : 2, &body, &reply, error);
    if (ok) {
        ok = judge(&reply, error);
        flagpost_plugin_http_response_free(&reply);
    }
    free(bearer.ptr);
    free(id.ptr);
    exports_flagpost_plugin_managed_exporter_batch_free(batch); // Ours to free, with the body.
    return ok;
}

void exports_flagpost_plugin_managed_exporter_close(void) {}
