// What C lacks for a custom exporter: texts that grow, JSON, configuration, one call for a request, answers. The contract itself is in plugin.h.
#ifndef FLAGPOST_H
#define FLAGPOST_H

#include "plugin.h"

typedef flagpost_plugin_events_event_t event_t;
typedef flagpost_plugin_events_export_error_t error_t;
#ifndef FLAGPOST_MANAGED
typedef exports_flagpost_plugin_exporter_list_event_t events_t;
#else
typedef exports_flagpost_plugin_managed_exporter_descriptor_t descriptor_t;
typedef exports_flagpost_plugin_managed_exporter_list_diagnostic_t diagnostics_t;
typedef exports_flagpost_plugin_managed_exporter_batch_t batch_t;
#endif

// A text that grows: begins as { 0 }, ends with free(text.ptr).
typedef struct {
    char *ptr;
    size_t len, room;
} text_t;

void text_add(text_t *text, const void *bytes, size_t len);
// A text ended by zero.
void text_put(text_t *text, const char *zero_ended);
// The value as a JSON string, with its quotes.
void text_json(text_t *text, plugin_string_t value);
// The event as GO Feature Flag writes it.
void text_event(text_t *text, const event_t *event);

// The text of a key of a `config:`, to be freed; NULL if there is none. Texts with escapes (\") are none: URLs and keys have none.
char *flagpost_setting_in(plugin_string_t config, const char *key);
#ifndef FLAGPOST_MANAGED
// The same of the exporter's `config:`.
char *flagpost_setting(const char *key);
#else
// One complaint about the configuration, for `configure` to return: false.
bool flagpost_complain(diagnostics_t *diagnostics, const char *path, const char *message);
#endif

// A header; both texts end with zero.
typedef struct {
    const char *name, *value;
} header_t;

// Sends the body. true: *reply is the API's answer, whatever its status, to be freed with flagpost_plugin_http_response_free. false: nothing
// came, and *error says so as `export` may answer: misconfigured when `allowedHosts` does not grant the host, else retryable.
bool flagpost_post(const char *url, const header_t *headers, size_t count, const text_t *body, flagpost_plugin_http_response_t *reply,
                   error_t *error);

// The header Retry-After in milliseconds, when it counts seconds; 0 when it is not there.
uint32_t flagpost_retry_after(const flagpost_plugin_http_response_t *reply);

// Answers of `export`, which all return false. after_ms 0: the relay's own back-off.
bool flagpost_retryable(error_t *error, const char *reason, uint32_t after_ms);
bool flagpost_rejected(error_t *error, const char *reason);
bool flagpost_misconfigured(error_t *error, const char *what);

#endif
