// A custom exporter for flagpost: POSTs each batch as a JSON array to an API that wants a key.
//
// Build: `flagpost plugin build`. Configuration: `config: { endpoint: "https://…", key: "…" }` and the endpoint in `allowedHosts`.

#include <stdio.h>
#include <stdlib.h>
#include "flagpost.h" // With plugin.h, the contract, in build/flagpost; `flagpost plugin build` puts them there.

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

static bool post(const char *url, const char *key, const events_t *events, error_t *error) {
    text_t body = {0}, bearer = {0}, id = {0};
    for (size_t i = 0; i < events->len; i++) {
        text_put(&body, i ? "," : "[");
        text_event(&body, &events->ptr[i]);
    }
    text_put(&body, "]");
    plugin_string_t batch;
    flagpost_plugin_call_batch_id(&batch);
    text_add(&id, batch.ptr, batch.len);
    text_add(&id, "", 1);
    plugin_string_free(&batch);
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
    free(body.ptr);
    free(bearer.ptr);
    free(id.ptr);
    return ok;
}

// true means: these events are safe at the API. Everything else says what the relay is to do with them.
bool exports_flagpost_plugin_exporter_export(events_t *events, error_t *error) {
    char *url = flagpost_setting("endpoint"), *key = flagpost_setting("key");
    bool ok = url ? post(url, key, events, error)
                  : flagpost_misconfigured(error, "config.endpoint is missing: where shall the events go?");
    free(url);
    free(key);
    exports_flagpost_plugin_exporter_list_event_free(events); // Ours to free.
    return ok;
}

// Batches, not single events.
bool exports_flagpost_plugin_exporter_is_bulk(void) { return true; }
