#include "flagpost.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void text_add(text_t *text, const void *bytes, size_t len) {
    if (text->len + len > text->room) {
        text->room = 2 * (text->len + len);
        text->ptr = realloc(text->ptr, text->room);
        if (!text->ptr) abort();
    }
    if (len) memcpy(text->ptr + text->len, bytes, len);
    text->len += len;
}

void text_put(text_t *text, const char *zero_ended) { text_add(text, zero_ended, strlen(zero_ended)); }

void text_json(text_t *text, plugin_string_t value) {
    text_put(text, "\"");
    size_t plain = 0;
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = value.ptr[i];
        if (c != '"' && c != '\\' && c >= ' ') continue;
        char escaped[8];
        text_add(text, value.ptr + plain, i - plain);
        text_add(text, escaped, snprintf(escaped, sizeof escaped, "\\u%04x", c));
        plain = i + 1;
    }
    text_add(text, value.ptr + plain, value.len - plain);
    text_put(text, "\"");
}

static void text_field(text_t *text, const char *name, plugin_string_t value) {
    text_put(text, name);
    text_json(text, value);
}

// Adds JSON as it is.
static void raw_field(text_t *text, const char *name, plugin_string_t json) {
    text_put(text, name);
    text_add(text, json.ptr, json.len);
}

void text_event(text_t *text, const event_t *event) {
    const flagpost_plugin_events_feature_event_t *f = &event->val.feature;
    const flagpost_plugin_events_tracking_event_t *t = &event->val.tracking;
    bool feature = event->tag == FLAGPOST_PLUGIN_EVENTS_EVENT_FEATURE;
    long long date = feature ? f->creation_date : t->creation_date;
    char number[48];
    text_field(text, "{\"kind\":", feature ? f->kind : t->kind);
    text_field(text, ",\"contextKind\":", feature ? f->context_kind : t->context_kind);
    text_field(text, ",\"userKey\":", feature ? f->user_key : t->user_key);
    text_add(text, number, snprintf(number, sizeof number, ",\"creationDate\":%lld", date));
    text_field(text, ",\"key\":", feature ? f->key : t->key);
    if (feature) {
        text_field(text, ",\"variation\":", f->variation);
        raw_field(text, ",\"value\":", f->value_json);
        text_put(text, f->default_ ? ",\"default\":true" : ",\"default\":false");
        text_field(text, ",\"version\":", f->version);
        text_field(text, ",\"source\":", f->source);
        if (f->metadata_json.is_some) raw_field(text, ",\"metadata\":", f->metadata_json.val);
    } else {
        raw_field(text, ",\"evaluationContext\":", t->evaluation_context_json);
        raw_field(text, ",\"trackingEventDetails\":", t->tracking_event_details_json);
    }
    text_put(text, "}");
}

char *flagpost_setting_in(plugin_string_t config, const char *key) {
    // One JSON object without spaces.
    char *found = NULL;
    text_t start = {0};
    text_put(&start, "\"");
    text_put(&start, key);
    text_put(&start, "\":\"");
    for (size_t i = 0; !found && i + start.len <= config.len; i++) {
        if (memcmp(config.ptr + i, start.ptr, start.len)) continue;
        const char *value = (const char *)config.ptr + i + start.len;
        const char *end = memchr(value, '"', config.len - i - start.len);
        if (end && !memchr(value, '\\', end - value)) found = strndup(value, end - value);
    }
    free(start.ptr);
    return found;
}

#ifndef FLAGPOST_MANAGED
char *flagpost_setting(const char *key) {
    plugin_string_t config;
    flagpost_plugin_config_get(&config);
    char *found = flagpost_setting_in(config, key);
    plugin_string_free(&config);
    return found;
}
#else
bool flagpost_complain(diagnostics_t *diagnostics, const char *path, const char *message) {
    diagnostics->ptr = calloc(1, sizeof *diagnostics->ptr);
    if (!diagnostics->ptr) abort();
    diagnostics->len = 1;
    plugin_string_dup(&diagnostics->ptr[0].path, path);
    plugin_string_dup(&diagnostics->ptr[0].message, message);
    return false;
}
#endif

bool flagpost_post(const char *url, const header_t *headers, size_t count, const text_t *body, flagpost_plugin_http_response_t *reply,
                   error_t *error) {
    flagpost_plugin_http_request_t request = {.timeout_ms = {false, 0}};
    plugin_string_set(&request.method, "POST");
    plugin_string_set(&request.url, url);
    request.headers.ptr = calloc(count, sizeof *request.headers.ptr);
    request.headers.len = count;
    if (count && !request.headers.ptr) abort();
    for (size_t i = 0; i < count; i++) {
        plugin_string_set(&request.headers.ptr[i].f0, headers[i].name);
        plugin_string_set(&request.headers.ptr[i].f1, headers[i].value);
    }
    request.body.tag = FLAGPOST_PLUGIN_HTTP_BODY_TEXT;
    request.body.val.text = (plugin_string_t){(uint8_t *)body->ptr, body->len};
    flagpost_plugin_http_send_error_t unsent;
    bool sent = flagpost_plugin_http_send(&request, reply, &unsent);
    free(request.headers.ptr);
    if (sent) return true;
    if (unsent.tag == FLAGPOST_PLUGIN_HTTP_SEND_ERROR_TIMEOUT) return flagpost_retryable(error, "timeout", 0);
    char *why = strndup((char *)unsent.val.other.ptr, unsent.val.other.len); // Every other case is a text.
    bool denied = unsent.tag == FLAGPOST_PLUGIN_HTTP_SEND_ERROR_DENIED;
    denied ? flagpost_misconfigured(error, why) : flagpost_retryable(error, why, 0);
    free(why);
    flagpost_plugin_http_send_error_free(&unsent);
    return false;
}

uint32_t flagpost_retry_after(const flagpost_plugin_http_response_t *reply) {
    for (size_t i = 0; i < reply->headers.len; i++) {
        plugin_string_t name = reply->headers.ptr[i].f0, value = reply->headers.ptr[i].f1;
        if (name.len != 11 || memcmp(name.ptr, "retry-after", 11) || value.len > 6) continue;
        uint32_t seconds = 0;
        for (size_t at = 0; at < value.len; at++) {
            if (value.ptr[at] < '0' || value.ptr[at] > '9') return 0;
            seconds = 10 * seconds + (value.ptr[at] - '0');
        }
        return seconds * 1000;
    }
    return 0;
}

bool flagpost_retryable(error_t *error, const char *reason, uint32_t after_ms) {
    error->tag = FLAGPOST_PLUGIN_EVENTS_EXPORT_ERROR_RETRYABLE;
    plugin_string_dup(&error->val.retryable.reason, reason);
    error->val.retryable.after_ms = (plugin_option_u32_t){after_ms > 0, after_ms};
    return false;
}

bool flagpost_rejected(error_t *error, const char *reason) {
    error->tag = FLAGPOST_PLUGIN_EVENTS_EXPORT_ERROR_REJECTED;
    plugin_string_dup(&error->val.rejected, reason);
    return false;
}

bool flagpost_misconfigured(error_t *error, const char *what) {
    error->tag = FLAGPOST_PLUGIN_EVENTS_EXPORT_ERROR_MISCONFIGURED;
    plugin_string_dup(&error->val.misconfigured, what);
    return false;
}
